// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"crypto/rand"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// readOnly is what the tests' policy lets tasks read; /opt is a host volume of the
// agent, which they may write to.
const readOnly = "/srv/e2e/read"

// TestVolumes: a task sees what the policy allows at the places that the job names,
// and nothing of it gives more rights than the task has.
func TestVolumes(t *testing.T) {
	secret := rand.Text()
	for path, mode := range map[string]os.FileMode{readOnly + "/sub": 0o755, "/opt": 0o755} {
		if err := os.MkdirAll(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod("/opt", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(readOnly+"/file", []byte(secret), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove("/opt/new"); _ = os.RemoveAll(readOnly) })
	tk := script("cat /srv/web/file; echo; echo $NOMAD_ALLOC_ID >/data/new && cat /one; echo; touch /srv/web/new /one 2>&1; ls /; " +
		"grep -E ' /(data|srv/web|local|alloc|scratch) ' /proc/self/mountinfo; df /scratch | tail -n 1; echo ready; exec sleep 600")
	tk.Volume = "opt"
	tk.Config["bind_ro"] = map[string]any{readOnly: "/srv/web", readOnly + "/file": "/one"}
	tk.Config["tmpfs"] = []string{"/scratch:size=64K"}
	j := submit(t, tk)
	j.await("running")
	out := j.awaitLog("ready")
	if n := strings.Count(out, secret+"\n"); n != 2 {
		t.Errorf("it reads the file of the host %d times, want 2", n)
	}
	for _, want := range []string{"'/srv/web/new': Read-only file system", "cannot touch '/one'", "data", "size=64k"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not print %q", want)
		}
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, " - ext4 ") && (!strings.Contains(line, "nosuid") || !strings.Contains(line, "nodev")) {
			t.Errorf("a directory of the host has setuid programs or devices: %s", line)
		}
	}
	if text, err := os.ReadFile("/opt/new"); err != nil || strings.TrimSpace(string(text)) != j.alloc {
		t.Errorf("what it wrote to its volume is %q, %v", text, err)
	}
	if got := run(t, "nomad", "alloc", "exec", "-task", "task", j.alloc, "/usr/bin/cat", "/srv/web/file", "/data/new"); !strings.Contains(got, secret+j.alloc) {
		t.Errorf("a session beside it reads %q", got)
	}
	unit := j.unit()
	if left, _ := os.ReadDir("/run/host/systemd-brokerd"); len(left) != 0 {
		t.Errorf("while the task runs there are mounts for its start: %v", left)
	}
	if known := run(t, "systemctl", "list-units", "--all", "--type=mount", "--plain", "--no-legend", "*brokerd*"); known != "" {
		t.Errorf("PID 1 has units of the mounts for starts, which are work for it at each: %s", known)
	}
	if _, err := os.Stat("/run/systemd-brokerd/root/scratch"); err == nil {
		t.Error("its mount points are in the root directory of all tasks")
	}
	j.stop()
	j.purge()
	j.nothingIsLeft()
	if _, err := os.Stat(filepath.Join("/run/systemd-brokerd/roots", unit)); err == nil {
		t.Error("its root directory is left")
	}
	if t.Failed() {
		t.Logf("it printed:\n%s", out)
	}
}

// TestVolumeMountThatIsReadOnly of a volume that the policy lets the task write to.
func TestVolumeMountThatIsReadOnly(t *testing.T) {
	const given = "/opt/given"
	if err := errors.Join(os.WriteFile(given, []byte("given"), 0o666), os.Chmod(given, 0o666), os.Chmod("/opt", 0o777)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(given) })
	const writes = "cat /data/given; touch /data/new; echo x >/data/given; rm /data/given; mkdir /data/sub; touch /data"
	tk := script("exec 2>&1; " + writes + "; echo ready; exec sleep 600")
	tk.Volume, tk.ReadOnly = "opt", true
	j := submit(t, tk)
	j.await("running")
	j.awaitLog("ready")
	session, _ := j.session("exec 2>&1; " + writes).CombinedOutput()
	for who, text := range map[string]string{"the task": j.logs("stdout"), "a session": string(session)} {
		if !strings.HasPrefix(text, "given") || strings.Count(text, "Read-only file system") != 5 {
			t.Errorf("%s prints, of five ways to write:\n%s", who, text)
		}
	}
	if text, err := os.ReadFile(given); err != nil || string(text) != "given" {
		t.Errorf("the file of the volume holds %q, %v", text, err)
	}
}

func TestVolumesAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		config map[string]any
		want   string
	}{
		{"what no rule lists", map[string]any{"bind_ro": map[string]any{"/etc/shadow": "/data"}}, "no rule lets this task see it"},
		{"what no rule lists and is not there", map[string]any{"bind_ro": map[string]any{"/etc/nosuch": "/data"}}, "no rule lets this task see it"},
		{"writing to what may be read", map[string]any{"bind": map[string]any{readOnly: "/data"}}, "this task may only read it"},
		{"a part of the view", map[string]any{"bind_ro": map[string]any{readOnly: "/usr/lib"}}, "part of every task's own view"},
		{"not there", map[string]any{"bind": map[string]any{"/opt/nosuch": "/data"}}, "/opt/nosuch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tk := script("echo ready")
			tk.Type = "batch"
			maps.Copy(tk.Config, tt.config)
			j := submit(t, tk)
			if text := j.messages(j.await("failed")); !strings.Contains(text, tt.want) {
				t.Errorf("no event says %q:\n%s", tt.want, text)
			}
		})
	}
}
