// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
)

// TestExplain is about what a job's author reads when systemd could not start a
// task: the step, the value, and where to look.
func TestExplain(t *testing.T) {
	exited := func(status int32) systemd.Status {
		return systemd.Status{Result: systemd.ResultExitCode, ExecMainCode: systemd.CodeExited, ExecMainStatus: status}
	}
	tests := []struct {
		name   string
		status systemd.Status
		want   []string
	}{
		{"exec", exited(203), []string{"cannot execute /local/server (local/ of the task's directory)", "interpreter or loader is missing"}},
		{"chdir", exited(200), []string{"cannot change to the working directory /alloc/data"}},
		{"user", exited(217), []string{"cannot switch to the user"}},
		{"group", exited(216), []string{"cannot switch to the group"}},
		{"namespace", exited(226), []string{"cannot set up the view of the file system"}},
		{"limits", exited(205), []string{"cannot set the resource limits"}},
		{"control group", exited(219), []string{"cannot set up the control group"}},
		{"system call filter", exited(228), []string{"cannot install the system call filter"}},
		{"standard output", exited(209), []string{"cannot set up standard output"}},
		{"another step", exited(250), []string{"systemd could not start the unit", "status 250"}},
		// A task that exits with such a status by itself has been started.
		{"a signal", systemd.Status{Result: systemd.ResultSignal, ExecMainCode: systemd.CodeKilled, ExecMainStatus: 9}, []string{"result signal"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := explain(&policy.Request{Command: "/local/server", WorkingDirectory: "/alloc/data"},
				&systemd.StartError{Unit: "nomad-web.service", JobResult: systemd.JobFailed, Status: tt.status})
			for _, want := range append(tt.want, "journalctl -u nomad-web.service") {
				if !strings.Contains(got, want) {
					t.Errorf("%q is missing in %q", want, got)
				}
			}
		})
	}
	if got := explain(&policy.Request{Command: "x"}, &systemd.StartError{Status: exited(200)}); !strings.Contains(got, "directory /local") {
		t.Errorf("the working directory of a task that names none: %q", got)
	}
}

// TestWhatIsNotInTheViewIsNamedWithItsBind: and only that.
func TestWhatIsNotInTheViewIsNamedWithItsBind(t *testing.T) {
	const bind = `bind_ro = { "/opt/app/bin" = "/opt/app/bin" }`
	for _, tt := range []struct {
		name   string
		r      policy.Request
		status int32
		hint   bool
	}{
		{"a program", policy.Request{Command: "/opt/app/bin/x"}, 203, true},
		{"a directory", policy.Request{WorkingDirectory: "/opt/app/bin"}, 200, true},
		{"a program of the host's view", policy.Request{Command: "/opt/app/bin/x", Rootfs: policy.Rootfs{Kind: policy.RootfsHost}}, 203, false},
		{"a program of an image", policy.Request{Command: "/opt/app/bin/x", Rootfs: policy.Rootfs{Kind: policy.RootfsImage}}, 203, false},
		{"a program of a volume", policy.Request{Command: "/opt/app/bin/x", Volumes: []policy.Volume{{Destination: "/opt/app"}}}, 203, false},
		{"beside a volume", policy.Request{Command: "/opt/app/bin/x", Volumes: []policy.Volume{{Destination: "/opt/ap"}}}, 203, true},
		{"a program of the task", policy.Request{Command: "/local/bin/x"}, 203, false},
		{"a program of /bin", policy.Request{Command: "/bin/x"}, 203, false},
		{"another step", policy.Request{Command: "/opt/app/bin/x"}, 226, false},
	} {
		got := explain(&tt.r, &systemd.StartError{Status: systemd.Status{ExecMainCode: cldExited, ExecMainStatus: tt.status}})
		if strings.Contains(got, bind) != tt.hint {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
}

func TestCheckCommandNamesWhatIsWrongWithAProgramOfTheHost(t *testing.T) {
	s := new(Server)
	for command, want := range map[string]string{
		"/usr/bin/env": "", "/local/none": "", "sh": "",
		"/usr/bin/nonesuch": "does not exist on this host", "/usr/bin": "is not a file",
	} {
		if err := s.checkCommand(&policy.Request{Command: command}); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", command, err, want)
		}
	}
	image := policy.Rootfs{Kind: policy.RootfsImage}
	if err := s.checkCommand(&policy.Request{Command: "/usr/bin/nonesuch", Rootfs: image}); err != nil {
		t.Errorf("a program of an image: %v", err)
	}
	if list, err := filepath.Glob("/usr/share/common-licenses/*"); err == nil && len(list) > 0 {
		if info, err := os.Stat(list[0]); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 == 0 {
			if err := s.checkCommand(&policy.Request{Command: list[0]}); err == nil || !strings.Contains(err.Error(), "is not executable") {
				t.Errorf("%s: got %v", list[0], err)
			}
		}
	}
}
