// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

func TestIdentityToken(t *testing.T) {
	put := func(t *testing.T, dir, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		name, identity string
		env            map[string]string
		make           func(t *testing.T, secrets string)
		want, err      string
	}{
		{name: "none"},
		{name: "of the environment", env: map[string]string{"NOMAD_TOKEN_systemd-brokerd": "env"}, want: "env"},
		{name: "of a file", make: func(t *testing.T, dir string) { put(t, dir, "nomad_systemd-brokerd.jwt", "file\n") }, want: "file"},
		{name: "of another identity", env: map[string]string{"NOMAD_TOKEN": "x", "NOMAD_TOKEN_vault": "x"}, make: func(t *testing.T, dir string) { put(t, dir, "nomad_token", "x") }},
		{name: "of the default identity", identity: "default", env: map[string]string{"NOMAD_TOKEN": "env"}, want: "env"},
		{name: "of the default identity's file", identity: "default", make: func(t *testing.T, dir string) { put(t, dir, "nomad_token", "file") }, want: "file"},
		{name: "of a name of its own", identity: "a_b", make: func(t *testing.T, dir string) { put(t, dir, "nomad_a_b.jwt", "file") }, want: "file"},
		{name: "a symlink in its place", make: func(t *testing.T, dir string) {
			put(t, dir, "x", "secret")
			if err := os.Symlink("x", filepath.Join(dir, "nomad_systemd-brokerd.jwt")); err != nil {
				t.Fatal(err)
			}
		}, err: "too many levels"},
		{name: "a FIFO in its place", make: func(t *testing.T, dir string) {
			if err := unix.Mkfifo(filepath.Join(dir, "nomad_systemd-brokerd.jwt"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, err: "not a regular file"},
		{name: "too much", make: func(t *testing.T, dir string) {
			put(t, dir, "nomad_systemd-brokerd.jwt", strings.Repeat("x", maxToken+1))
		}, err: "larger than"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newTaskConfig(t, TaskConfig{Command: "/usr/bin/true"})
			secrets := c.TaskDir().SecretsDir
			if err := os.MkdirAll(secrets, 0o700); err != nil {
				t.Fatal(err)
			}
			c.Env = row.env
			if row.make != nil {
				row.make(t, secrets)
			}
			if row.identity == "" {
				row.identity = defaultIdentity
			}
			got, err := identityToken(c, row.identity)
			if got != row.want || (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
				t.Errorf("got %q, %v, want %q, %q", got, err, row.want, row.err)
			}
		})
	}
}

// TestTokenIsSent, and who has none is told which one it would be.
func TestTokenIsSent(t *testing.T) {
	b := newFakeBroker(t)
	b.start()
	d := newDriver(t, b.config())
	c := newTaskConfig(t, TaskConfig{Command: "/usr/bin/true"})
	c.Env["NOMAD_TOKEN_systemd-brokerd"] = "a.b.c"
	if _, _, err := d.StartTask(c); err != nil {
		t.Fatal(err)
	}
	if got := b.lastSpec().GetIdentityToken(); got != "a.b.c" {
		t.Errorf("the token is %q", got)
	}
	denied, err := status.New(codes.PermissionDenied, "no").WithDetails(&brokerv1.Denial{Subject: "identity", Reason: "there is no token"})
	if err != nil {
		t.Fatal(err)
	}
	b.change(func() { b.startErr = denied.Err() })
	c = newTaskConfig(t, TaskConfig{Command: "/usr/bin/true"})
	c.ID += "2"
	if _, _, err := d.StartTask(c); err == nil || !strings.Contains(err.Error(), `there is no token`) || !strings.Contains(err.Error(), `identity { name = "systemd-brokerd" }`) {
		t.Errorf("got %v", err)
	}
}
