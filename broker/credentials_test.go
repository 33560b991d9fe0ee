// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"nomad-systemd-driver/broker/systemd/fakepid1"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

func inline(name, content string) *brokerv1.Credential {
	return &brokerv1.Credential{Name: name, From: &brokerv1.Credential_Content{Content: []byte(content)}}
}

func source(name, path string) *brokerv1.Credential {
	return &brokerv1.Credential{Name: name, From: &brokerv1.Credential_Source{Source: path}}
}

// secret writes a file of the client's into the secrets directory.
func (w *world) secret(name, content string) {
	w.t.Helper()
	path := filepath.Join(w.alloc, "x/web/secrets", name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.own(path)
}

// TestCredentialsReachPID1InFilesOnly: what is a property of a unit can be read by
// everybody.
func TestCredentialsReachPID1InFilesOnly(t *testing.T) {
	w := newWorld(t)
	w.secret("key", "canary-file")
	s := w.spec("a/1")
	s.Credentials = []*brokerv1.Credential{source("key", "/secrets/key"), inline("token", "canary-inline"), inline("empty", "")}
	files := w.startedFrom(s)
	for name, want := range map[string]string{"key": "canary-file", "token": "canary-inline", "empty": ""} {
		if got, ok := files["credential."+name]; !ok || got != want {
			t.Errorf("%s is %q, %t, want %q", name, got, ok, want)
		}
	}
	call := w.pid1.Calls("StartTransientUnit")[0]
	if text := fmt.Sprint(call.Args...); strings.Contains(text, "canary") || !strings.Contains(text, "/credential.key") {
		t.Errorf("PID 1 was sent %s", text)
	}
	if left, err := os.ReadDir(filepath.Join(w.run, "starts")); err != nil || len(left) != 0 {
		t.Errorf("files are left: %v %v", left, err)
	}
}

func TestSessionHasTheCredentialsOfItsUnit(t *testing.T) {
	w := newWorld(t)
	s := w.spec("a/1")
	s.Credentials = []*brokerv1.Credential{inline("token", "canary")}
	answer, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: s})
	if err != nil {
		t.Fatal(err)
	}
	u := answer.GetUnit()
	ask := func(all ...*brokerv1.Credential) *brokerv1.ExecInUnitRequest {
		req := w.session(u)
		req.Spec.Credentials = all
		return req
	}
	name, _ := w.begin(w.ctx(), ask(&brokerv1.Credential{Name: "token"}))
	session, ok := w.pid1.Unit(name)
	if want := "/run/credentials/" + u.GetHandle().GetUnit() + "/token"; !ok || !strings.Contains(fmt.Sprint(session.Started["LoadCredential"]), want) {
		t.Errorf("the session has %v, want %s", session.Started["LoadCredential"], want)
	}
	wantCode(t, w.exec(w.ctx(), ask()), codes.PermissionDenied, "other directories, groups or credentials")
	wantCode(t, w.exec(w.ctx(), ask(&brokerv1.Credential{Name: "other"})), codes.PermissionDenied, "other directories, groups or credentials")
	wantCode(t, w.exec(w.ctx(), ask(inline("token", "x"))), codes.InvalidArgument, "names them only")
}

// TestSourceThatRootMustNotRead: a client could have root read what it cannot.
func TestSourceThatRootMustNotRead(t *testing.T) {
	w := newWorld(t)
	secrets := filepath.Join(w.alloc, "x/web/secrets")
	w.secret("key", "canary")
	w.secret("large", strings.Repeat("x", 1<<20))
	for path, make := range map[string]func(path string) error{
		"link":   func(p string) error { return os.Symlink("/etc/hostname", p) },
		"inside": func(p string) error { return os.Symlink("key", p) },
		"up":     func(p string) error { return os.Symlink("../secrets", p) },
		"dir":    func(p string) error { return os.Mkdir(p, 0o700) },
		"fifo":   func(p string) error { return unix.Mkfifo(p, 0o600) },
	} {
		if err := make(filepath.Join(secrets, path)); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		all  []*brokerv1.Credential
		want string
	}{
		{"a symlink out", []*brokerv1.Credential{source("a", "/secrets/link")}, "over a symlink"},
		{"a symlink that stays inside", []*brokerv1.Credential{source("a", "/secrets/inside")}, "over a symlink"},
		{"a file below a symlink", []*brokerv1.Credential{source("a", "/secrets/up/key")}, "over a symlink"},
		{"a directory", []*brokerv1.Credential{source("a", "/secrets/dir")}, "not a regular file"},
		{"a FIFO without a writer", []*brokerv1.Credential{source("a", "/secrets/fifo")}, "not a regular file"},
		{"a file below a file", []*brokerv1.Credential{source("a", "/secrets/key/x")}, "over a symlink or a mount"},
		{"nothing", []*brokerv1.Credential{source("a", "/secrets/none")}, `credential "a": source /secrets/none does not exist`},
		{"a file too large", []*brokerv1.Credential{source("a", "/secrets/large")}, "together are over 1048576 bytes"},
	}
	if os.Getuid() == 0 {
		if err := os.WriteFile(filepath.Join(secrets, "foreign"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		tests = append(tests, tests[0])
		tests[len(tests)-1].name, tests[len(tests)-1].want = "another user's", "belongs to uid 0"
		tests[len(tests)-1].all = []*brokerv1.Credential{source("a", "/secrets/foreign")}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := w.spec("a/1")
			s.Credentials = tt.all
			_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: s})
			wantCode(t, err, codes.FailedPrecondition, tt.want)
		})
	}
	if n := len(w.pid1.Calls("StartTransientUnit")); n != 0 {
		t.Errorf("PID 1 was asked to start %d units", n)
	}
	if left, err := os.ReadDir(filepath.Join(w.run, "starts")); err != nil || len(left) != 0 {
		t.Errorf("files are left: %v %v", left, err)
	}
}

func TestFailureToSetCredentialsUpIsExplained(t *testing.T) {
	w := newWorld(t)
	w.pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{JobResult: "failed", ExitStatus: 243} })
	wantCode(t, w.tryStart("a/1"), codes.FailedPrecondition, "cannot set up the credentials")
}
