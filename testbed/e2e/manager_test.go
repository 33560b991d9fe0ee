// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// managersHello is hello where the tests' policy lets alice and bob run it in their own
// managers.
const managersHello = "/usr/libexec/e2e-manager/hello"

// inManager is a task in the manager of a user.
func inManager(user string, args ...string) task {
	config := command(args...)
	config["command"], config["session"] = managersHello, "user"
	return task{Type: "service", User: user, Config: config}
}

// lingering lets a user linger until the test's end, and waits for the user's manager.
func lingering(t *testing.T, user string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(managersHello), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(hello, managersHello, 0o755); err != nil {
		t.Fatal(err)
	}
	// What pam_systemd does, where it is not installed.
	dropIn := "/etc/systemd/system/user@.service.d/e2e.conf"
	if err := os.MkdirAll(filepath.Dir(dropIn), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dropIn, []byte("[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "systemctl", "daemon-reload")
	run(t, "loginctl", "enable-linger", user)
	run(t, "systemctl", "start", managerOf(t, user))
	t.Cleanup(func() {
		run(t, "loginctl", "disable-linger", user)
		run(t, "systemctl", "stop", managerOf(t, user))
	})
}

func managerOf(t *testing.T, user string) string {
	t.Helper()
	return "user@" + run(t, "id", "-u", user) + ".service"
}

// asManager is systemctl --user of alice.
func asManager(t *testing.T, args ...string) string {
	t.Helper()
	uid := run(t, "id", "-u", "alice")
	return run(t, "setpriv", append([]string{
		"--reuid=" + uid, "--regid=" + uid, "--clear-groups", "env", "XDG_RUNTIME_DIR=/run/user/" + uid, "systemctl", "--user",
	}, args...)...)
}

// scope is the job's unit in alice's manager.
func (j *job) scope() string { return strings.TrimSuffix(j.unit(), ".service") + ".scope" }

// scopeGroup is the directory of its control group.
func (j *job) scopeGroup() string {
	return "/sys/fs/cgroup/user.slice/user-2001.slice/user@2001.service/app.slice/" + j.scope()
}

// TestTaskInItsUsersManager: it is there with its limits and its sandbox, PID 1 has its
// process, and it outlives what other tasks outlive, and a logout.
func TestTaskInItsUsersManager(t *testing.T) {
	lingering(t, "alice")
	tk := inManager("alice", "count", "20")
	tk.Memory, tk.Max = 64, 96
	j := submit(t, tk)
	j.await("running")
	j.awaitLog("out 10\n")
	pid := j.pid()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(text)), "/user@2001.service/app.slice/"+j.scope()) {
		t.Errorf("its control group is %s, %v", text, err)
	}
	if state := asManager(t, "is-active", j.scope()); state != "active" {
		t.Errorf("alice's manager says that it is %s", state)
	}
	for file, want := range map[string]string{"memory.max": "100663296\n", "memory.low": "67108864\n", "pids.max": "256\n"} {
		if got, err := os.ReadFile(j.scopeGroup() + "/" + file); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", file, got, err)
		}
	}
	if s := procStatus(t, pid); s["CapBnd"] != "0000000000000000" || s["NoNewPrivs"] != "1" || s["Seccomp"] != "2" || !strings.HasPrefix(s["Uid"], "2001 ") {
		t.Errorf("its process has CapBnd %s, NoNewPrivs %s, Seccomp %s, Uid %s", s["CapBnd"], s["NoNewPrivs"], s["Seccomp"], s["Uid"])
	}
	stats := run(t, "nomad", "alloc", "status", "-stats", j.alloc)
	if !strings.Contains(stats, "Memory Stats") {
		t.Errorf("there are no statistics:\n%s", stats)
	}
	t.Run("a session", func(t *testing.T) {
		j := j.in(t)
		out := j.inTask("id -un; cat /proc/self/cgroup; touch /local/x /alloc/x && echo written; ls -d $XDG_RUNTIME_DIR/systemd/private")
		for _, want := range []string{"alice\n", "/user@2001.service/app.slice/nomad-task-", "exec", "written", "/run/user/2001/systemd/private"} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in:\n%s", want, out)
			}
		}
	})
	t.Run("with the host's files", func(t *testing.T) {
		tk := inManager("alice", "exit", "7")
		tk.Type, tk.Config["rootfs"] = "batch", "host"
		if e := submit(t, tk).terminated("failed"); e.Details["exit_code"] != "7" {
			t.Errorf("it ended with %v", e.Details)
		}
	})
	for name, strike := range map[string]func(t *testing.T){
		"a logout": logout,
		"a kill of driver, agent and broker": func(t *testing.T) {
			run(t, "sh", "-c", "pkill -KILL -x -f /usr/libexec/nomad/plugins/nomad-systemd-driver & "+
				"systemctl kill --kill-who=main -s KILL nomad.service systemd-brokerd.service; wait")
		},
		"a reexecution of PID 1": func(t *testing.T) { run(t, "systemctl", "daemon-reexec") },
	} {
		t.Run(name, func(t *testing.T) {
			j := j.in(t)
			strike(t)
			driverHealth(t, healthy)
			j.await("running")
			n := lines(t, j.logs("stdout"), "out")
			lines(t, j.awaitLog(fmt.Sprintf("out %d\n", n+20)), "out")
			j.sameProcess(pid)
		})
	}
	group := j.scopeGroup()
	j.endsWell()
	awaitTrue(t, group+" is left", func() bool { // alice's manager removes it when the kernel tells it
		_, err := os.Stat(group)
		return errors.Is(err, fs.ErrNotExist)
	})
}

// logout is alice's last logout. The manager of bob, who logs out after her and does not
// linger, ends then.
func logout(t *testing.T) {
	conf := "/etc/systemd/logind.conf.d/e2e.conf"
	if err := os.MkdirAll(filepath.Dir(conf), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte("[Login]\nUserStopDelaySec=0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "systemctl", "restart", "systemd-logind.service")
	for _, uid := range []string{"2001", "2002"} {
		// The session ends with the connection that made it.
		run(t, "busctl", "--timeout=90", "call", "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "CreateSession",
			"uusssssussbssa(sv)", uid, "0", "e2e", "tty", "user", "", "", "0", "", "", "false", "", "", "0")
	}
	for deadline := time.Now().Add(patience); show(t, "user@2002.service", "ActiveState")["ActiveState"] != "inactive"; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the manager of bob goes on")
		}
	}
	if state := show(t, "user@2001.service", "ActiveState")["ActiveState"]; state != "active" {
		t.Errorf("the manager of alice is %s", state)
	}
}

// TestEndOfATaskInItsUsersManager: whoever ends it, Nomad learns how.
func TestEndOfATaskInItsUsersManager(t *testing.T) {
	lingering(t, "alice")
	for _, tt := range []struct {
		name, status, code, signal string
		args                       []string
		end                        func(j *job)
	}{
		{"by itself", "failed", "7", "0", []string{"exit", "7"}, nil},
		{"by a signal", "failed", "0", "9", []string{"signal", "9"}, nil},
		{"by its user", "failed", "0", "9", []string{"tick"}, func(j *job) { asManager(j.t, "kill", "--signal=SIGKILL", j.scope()) }},
		{"by PID 1", "failed", "0", "9", []string{"tick"}, func(j *job) { run(j.t, "systemctl", "kill", "--signal=SIGKILL", j.unit()) }},
		{"by the end of the manager", "failed", "0", "9", []string{"ignore-term"}, func(j *job) {
			run(j.t, "systemctl", "kill", "--signal=SIGKILL", "--kill-whom=all", "user@2001.service")
		}},
		{"that does not heed SIGTERM", "complete", "0", "9", []string{"ignore-term"}, func(j *job) { j.stop() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, "systemctl", "start", "user@2001.service")
			tk := inManager("alice", tt.args...)
			tk.Type, tk.KillTimeout = "batch", time.Second
			j := submit(t, tk)
			if tt.end != nil {
				j.await("running")
				j.awaitLog(map[string]string{"tick": "1", "ignore-term": "ignoring"}[tt.args[0]])
				tt.end(j)
			}
			if e := j.terminated(tt.status); e.Details["exit_code"] != tt.code || e.Details["signal"] != tt.signal {
				t.Errorf("it ended with %v", e.Details)
			}
		})
	}
}

// TestNothingSurvivesATaskInItsUsersManager, even if it is in alice's own hands.
func TestNothingSurvivesATaskInItsUsersManager(t *testing.T) {
	lingering(t, "alice")
	for _, how := range []string{"orphan", "orphan-wait"} {
		t.Run(how, func(t *testing.T) {
			tk := inManager("alice", how)
			tk.Type = "batch"
			j := submit(t, tk)
			if how == "orphan-wait" {
				j.await("running")
				j.awaitLog("waiting")
				run(t, "pgrep", "-f", "e2e-manager/hello ignore-term") // it is there to be left behind
				j.stop()
			} else {
				j.await("complete")
			}
			j.purge()
			j.nothingIsLeft()
			deadline := time.Now().Add(patience)
			for exec.Command("pgrep", "-f", "e2e-manager/hello ignore-term").Run() == nil {
				if time.Now().After(deadline) {
					t.Fatal("a process is left")
				}
				time.Sleep(100 * time.Millisecond) // there is no event to wait for
			}
		})
	}
}

// TestUsersManagerIsRefused without lingering, and to users whom no rule names.
func TestUsersManagerIsRefused(t *testing.T) {
	lingering(t, "alice")
	other := inManager("alice", "tick")
	other.Config["command"] = hello
	for name, tt := range map[string]struct {
		task  task
		wants string
	}{
		"to who does not linger": {inManager("bob", "tick"), "loginctl enable-linger bob"},
		"to another program":     {other, "run_as.session_users"},
	} {
		t.Run(name, func(t *testing.T) {
			j := submit(t, tt.task)
			if text := j.messages(j.await("failed")); !strings.Contains(text, tt.wants) {
				t.Errorf("no event says %q:\n%s", tt.wants, text)
			}
		})
	}
}
