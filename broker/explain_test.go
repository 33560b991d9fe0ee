// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
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
		{"user", exited(217), []string{"cannot switch to the user", "all uids of systemd's range (61184 to 65519) are taken: stop tasks or set user"}},
		{"SELinux", exited(229), []string{"cannot set the SELinux context"}},
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
			got := explain(&policy.Request{Command: "/local/server", WorkingDirectory: "/alloc/data"}, "/var/lib/nomad/alloc",
				&systemd.StartError{Unit: "nomad-web.service", JobResult: systemd.JobFailed, Status: tt.status})
			for _, want := range append(tt.want, "journalctl -u nomad-web.service") {
				if !strings.Contains(got, want) {
					t.Errorf("%q is missing in %q", want, got)
				}
			}
		})
	}
	if got := explain(&policy.Request{User: "alice", UserManager: true}, "/var/lib/nomad/alloc", &systemd.StartError{Status: exited(226)}); !strings.Contains(got, "manager of user alice") {
		t.Errorf("a view without the directory of the user's manager: %q", got)
	}
	if got := explain(&policy.Request{Command: "x"}, "/var/lib/nomad/alloc", &systemd.StartError{Status: exited(200)}); !strings.Contains(got, "directory /local") {
		t.Errorf("the working directory of a task that names none: %q", got)
	}
}

// TestEachStepIsInTheGuide: what an event says is found again in the documents.
func TestEachStepIsInTheGuide(t *testing.T) {
	guide, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(guide), "\n## Exit status\n")
	for status, text := range steps {
		if !regexp.MustCompile(fmt.Sprintf("(?m)^\\|.*`%d/[A-Z_]+`.* \\| .+ \\| .+ \\|$", status)).MatchString(table) {
			t.Errorf("docs/operations.md has no line about %d (%s)", status, text)
		}
	}
	for _, m := range regexp.MustCompile("`([0-9]{3})/[A-Z_]+`").FindAllStringSubmatch(table, -1) {
		status, err := strconv.ParseInt(m[1], 10, 32)
		if _, known := steps[int32(status)]; err != nil || !known {
			t.Errorf("docs/operations.md has %s, of which events say nothing", m[0])
		}
	}
}

// TestWhatIsNotInTheViewIsNamedWithItsBind: one that a policy can allow, or that there is
// none.
func TestWhatIsNotInTheViewIsNamedWithItsBind(t *testing.T) {
	const bind, elsewhere = `bind_ro = { "/opt/app/bin" = "/opt/app/bin" } shows it, where`, `bind_ro = { "/etc/app" = "/srv/etc/app" } shows it there`
	const cannot = " is not in it, and cannot be: bring the files along"
	host, image := policy.Rootfs{Kind: policy.RootfsHost}, policy.Rootfs{Kind: policy.RootfsImage}
	program := func(path string, rootfs policy.Rootfs, volumes ...policy.Volume) policy.Request {
		return policy.Request{Command: path, Rootfs: rootfs, Volumes: volumes}
	}
	for _, tt := range []struct {
		name   string
		r      policy.Request
		status int32
		want   string
	}{
		{"a program", program("/opt/app/bin/x", policy.Rootfs{}), 203, bind},
		{"a directory", policy.Request{WorkingDirectory: "/opt/app/bin"}, 200, bind},
		{"a program of the host's view", program("/opt/app/bin/x", host), 203, ""},
		{"a program of an image", program("/opt/app/bin/x", image), 203, "allow it, and the image has such a directory"},
		{"a program of a volume", program("/opt/app/bin/x", policy.Rootfs{}, policy.Volume{Destination: "/opt/app"}), 203, ""},
		{"beside a volume", program("/opt/app/bin/x", policy.Rootfs{}, policy.Volume{Destination: "/opt/ap"}), 203, bind},
		{"a program of the task", program("/local/bin/x", policy.Rootfs{}), 203, ""},
		{"a program of /bin", program("/bin/x", policy.Rootfs{}), 203, ""},
		{"a program of /usr in an image", program("/usr/bin/x", image), 203, ""},
		{"what only another place can show", program("/etc/app/x", policy.Rootfs{}), 203, elsewhere},
		{"what no task sees", program("/run/app/x", policy.Rootfs{}), 203, "the host's /run/app" + cannot},
		{"what not even the host's view has", program("/run/app/x", host), 203, "the host's /run/app" + cannot},
		{"the agent's data", program("/var/lib/nomad/alloc/x/y", policy.Rootfs{}), 203, "the host's /var/lib/nomad/alloc/x" + cannot},
		{"the task's own /var/tmp", program("/var/tmp/x/y", policy.Rootfs{}), 203, ""},
		{"another step", program("/opt/app/bin/x", policy.Rootfs{}), 226, ""},
	} {
		got := explain(&tt.r, "/var/lib/nomad/alloc", &systemd.StartError{Status: systemd.Status{ExecMainCode: cldExited, ExecMainStatus: tt.status}})
		if !strings.Contains(got, tt.want) || strings.Contains(got, "bind_ro") && tt.want == "" || strings.Contains(got, "cannot be") && tt.want == "" {
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
