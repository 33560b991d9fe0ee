// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func command(args ...string) map[string]any {
	return map[string]any{"command": hello, "args": args}
}

func TestBatchJobFromAnArtifactRunsInItsSandbox(t *testing.T) {
	t.Parallel()
	from := time.Now()
	j := submit(t, task{Config: map[string]any{"command": "local/hello"}, Artifact: true})
	if e := j.terminated("complete"); e.Details["exit_code"] != "0" {
		t.Errorf("it ended with %v", e.Details)
	}
	t.Logf("from submission to the end of the job: %.1f s", time.Since(from).Seconds())
	out := j.logs("stdout")
	for _, want := range []string{
		"hello from task task of job " + j.id, "cwd=/local", "CapEff: 0000000000000000", "CapBnd: 0000000000000000",
		"NoNewPrivs: 1", "Seccomp: 2", "/brokerd.slice/brokerd-nomad.slice/nomad-task-",
		"root: /alloc /bin /dev /etc /lib /lib64 /local /proc /root /run /sbin /secrets /sys /tmp /usr /var\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	for _, uid := range []string{"uid=0 ", "uid=" + run(t, "id", "-u", "nomad") + " "} {
		if strings.Contains(out, uid) {
			t.Errorf("the task ran with %s", uid)
		}
	}
}

func TestLogsAreComplete(t *testing.T) {
	t.Parallel()
	const n = 20000
	j := submit(t, task{Config: command("lines", fmt.Sprint(n))})
	j.await("complete")
	var want strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintln(&want, "line", i)
	}
	if got := j.logs("stdout"); got != want.String() {
		t.Errorf("%d bytes arrived, %d were written", len(got), want.Len())
	}
}

func TestServiceHasTheLimitsOfItsJob(t *testing.T) {
	t.Parallel()
	j := submit(t, task{Type: "service", Config: command("tick"), CPU: 500, Memory: 64, Max: 128})
	j.await("running")
	got := show(t, j.unit(), "Slice", "MemoryLow", "MemoryMax", "CPUWeight", "TasksMax", "NoNewPrivileges",
		"CapabilityBoundingSet", "AmbientCapabilities", "DynamicUser", "ProtectSystem", "PrivateDevices", "Restart", "Type",
		"KeyringMode", "RestrictSUIDSGID", "Delegate", "MemoryAccounting")
	want := map[string]string{
		"Slice": "brokerd-nomad.slice", "MemoryLow": "67108864", "MemoryMax": "134217728", "CPUWeight": "19", "TasksMax": "4096",
		"NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "AmbientCapabilities": "", "DynamicUser": "yes", "ProtectSystem": "strict",
		"PrivateDevices": "yes", "Restart": "no", "Type": "exec", "KeyringMode": "private", "RestrictSUIDSGID": "yes", "Delegate": "no",
		"MemoryAccounting": "yes",
	}
	want["TasksMax"] = "256" // the tests' policy
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s=%s, want %s", name, got[name], value)
		}
	}
	if s := procStatus(t, j.pid()); s["CapBnd"] != "0000000000000000" || s["NoNewPrivs"] != "1" || s["Seccomp"] != "2" {
		t.Errorf("its process has CapBnd %s, NoNewPrivs %s, Seccomp %s", s["CapBnd"], s["NoNewPrivs"], s["Seccomp"])
	}
}

// TestCoresAndUnlimitedMemoryBecomeLimits wants the core of a task to be its own:
// another task leaves it, and has it back afterwards.
func TestCoresAndUnlimitedMemoryBecomeLimits(t *testing.T) {
	cpus := func(j *job) string { return procStatus(t, j.pid())["Cpus_allowed_list"] }
	other := submitAs(t, jobName(t)+"-other", task{Type: "service", Config: command("tick")})
	other.await("running")
	if got := cpus(other); got != "0-1" {
		t.Errorf("a task alone may use the CPUs %s, want both", got)
	}
	j := submit(t, task{Type: "service", User: "alice", Config: command("tick"), Cores: 1, Memory: 64, Max: -1})
	j.await("running")
	got := show(t, j.unit(), "AllowedCPUs", "MemoryMax")
	rest := map[string]string{"0": "1", "1": "0"}[got["AllowedCPUs"]]
	if rest == "" {
		t.Fatalf("AllowedCPUs=%s, want one of the two CPUs", got["AllowedCPUs"])
	}
	if got["MemoryMax"] != "infinity" {
		t.Errorf("MemoryMax=%s, want infinity", got["MemoryMax"])
	}
	if now := cpus(j); now != got["AllowedCPUs"] {
		t.Errorf("its process may use the CPUs %s", now)
	}
	awaitCPUs(t, rest, func() string { return cpus(other) })
	j.stop()
	awaitCPUs(t, "0-1", func() string { return cpus(other) })
}

// awaitCPUs waits until the CPUs are as wanted: the kernel sends no event.
func awaitCPUs(t *testing.T, want string, cpus func() string) {
	t.Helper()
	for deadline := time.Now().Add(patience); cpus() != want; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the other task may use the CPUs %s, want %s", cpus(), want)
		}
	}
}

func TestExitCodeReachesNomad(t *testing.T) {
	t.Parallel()
	j := submit(t, task{Config: command("exit", "7")})
	if e := j.terminated("failed"); e.Details["exit_code"] != "7" || e.Details["signal"] != "0" {
		t.Errorf("it ended with %v", e.Details)
	}
}

func TestSignalReachesNomad(t *testing.T) {
	t.Parallel()
	j := submit(t, task{Config: command("signal", "9")})
	if e := j.terminated("failed"); e.Details["signal"] != "9" || e.Details["oom_killed"] == "true" {
		t.Errorf("it ended with %v", e.Details)
	}
}

func TestOutOfMemoryReachesNomad(t *testing.T) {
	t.Parallel()
	j := submit(t, task{Config: command("eat", "200"), Memory: 48})
	if e := j.terminated("failed"); e.Details["oom_killed"] != "true" {
		t.Errorf("it ended with %v", e.Details)
	}
	// What the driver tells comes another way than how the task ended.
	watch(t, "/allocation/"+j.alloc, func(a allocation) bool { return strings.Contains(j.messages(a), "memory") })
}

func TestStopSendsTheSignalOfTheJob(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, signal, want, not string }{
		{"by default SIGTERM", "", "signal terminated", "signal interrupt"},
		{"kill_signal if set", "SIGINT", "signal interrupt", "signal terminated"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := submit(t, task{Type: "service", Config: command("signals"), KillSignal: tt.signal, KillTimeout: 30 * time.Second})
			j.await("running")
			j.awaitLog("listening")
			pid := j.pid()
			call(t, "DELETE", "/job/"+j.id, nil, nil)
			if out := j.awaitLog(tt.want); strings.Contains(out, tt.not) {
				t.Errorf("the task saw:\n%s", out)
			}
			if tt.signal != "" { // the program ends on SIGTERM only
				sendSignal(t, pid, syscall.SIGKILL)
			}
			j.await("complete")
		})
	}
}

func TestStopKillsWhatIgnoresTheSignal(t *testing.T) {
	j := submit(t, task{Type: "service", Config: command("ignore-term"), KillTimeout: time.Second})
	j.await("running")
	j.awaitLog("ignoring")
	pid, from := j.pid(), time.Now()
	j.stop()
	if e := j.terminated("complete"); e.Details["signal"] != "9" {
		t.Errorf("it ended with %v after %s", e.Details, time.Since(from))
	}
	if syscall.Kill(pid, 0) == nil {
		t.Error("its process is still there")
	}
}

func TestNothingSurvivesATask(t *testing.T) {
	for _, tt := range []struct{ name, command string }{
		{"that ends by itself", "orphan"},
		{"that is stopped", "orphan-wait"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := submit(t, task{Config: command(tt.command)})
			if tt.command == "orphan-wait" {
				j.await("running")
				j.awaitLog("waiting")
				run(t, "pgrep", "-f", "hello ignore-term") // it is there to be left behind
				j.stop()
			} else {
				j.await("complete")
			}
			j.purge()
			j.nothingIsLeft()
			if out, err := exec.Command("pgrep", "-af", "hello ignore-term").Output(); err == nil {
				t.Errorf("a process is left: %s", out)
			}
		})
	}
}

func TestAllocSignalReachesTheTask(t *testing.T) {
	t.Parallel()
	j := submit(t, task{Type: "service", Config: command("signals")})
	j.await("running")
	j.awaitLog("listening")
	run(t, "nomad", "alloc", "signal", "-s", "SIGHUP", j.alloc)
	j.awaitLog("signal hangup")
	out, err := exec.Command("nomad", "alloc", "signal", "-s", "SIGNONE", j.alloc).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "SIGNONE") {
		t.Errorf("an unknown signal gives %v: %s", err, out)
	}
}

// odd are values that something on the way could read in its own way.
var odd = []string{
	"", " ", "a b", "$HOME", "$$", "%h %n %%", `"quoted"`, `'single'`, "back\\slash", `trailing\`, "new\nline", "tab\t",
	"ünïcödé 漢字", "`id`", "$(id)", "#comment", ";semicolon", "-flag", "a=b", "*?[a-z]", "{}", "\"$x\\\n\"",
}

func TestArgumentsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	j := submit(t, task{Config: command(append([]string{"args"}, odd...)...)})
	j.await("complete")
	var want strings.Builder
	for _, a := range odd {
		fmt.Fprintf(&want, "%q\n", a)
	}
	if got := j.logs("stdout"); got != want.String() {
		t.Errorf("got:\n%s\nwant:\n%s", got, want.String())
	}
}

func TestEnvironmentArrivesAsItIs(t *testing.T) {
	t.Parallel()
	env, args := make(map[string]string), []string{"env"}
	var want strings.Builder
	for i, v := range odd {
		name := fmt.Sprintf("ODD_%d", i)
		env[name] = v
		args = append(args, name)
		fmt.Fprintf(&want, "%s=%q\n", name, v)
	}
	args = append(args, "NOMAD_TASK_DIR", "NOMAD_ALLOC_DIR", "NOMAD_SECRETS_DIR")
	want.WriteString("NOMAD_TASK_DIR=\"/local\"\nNOMAD_ALLOC_DIR=\"/alloc\"\nNOMAD_SECRETS_DIR=\"/secrets\"\n")
	j := submit(t, task{Config: command(args...), Env: env})
	j.await("complete")
	if got := j.logs("stdout"); got != want.String() {
		t.Errorf("got:\n%s\nwant:\n%s", got, want.String())
	}
}

func TestUserOfTheJob(t *testing.T) {
	t.Parallel()
	j := submit(t, task{Config: command(), User: "alice"})
	j.await("complete")
	if out, want := j.logs("stdout"), "uid="+run(t, "id", "-u", "alice")+" "; !strings.Contains(out, want) {
		t.Errorf("%q is missing in:\n%s", want, out)
	}
}

func TestJournaldHasTheLogWithTheTasksNames(t *testing.T) {
	t.Parallel()
	// It stays: journald asks for the names when it reads the first line.
	j := submit(t, logsToJournal(script(hello+" lines 3; exec sleep 1000")))
	j.await("running")
	awaitTrue(t, "its lines are not in the journal", func() bool {
		return journal(t, "-o", "cat", "NOMAD_ALLOC_ID="+j.alloc, "NOMAD_TASK_NAME=task", "_TRANSPORT=stdout") == "line 1\nline 2\nline 3\n"
	})
}

func TestLinesToTheJournalAreLimited(t *testing.T) {
	t.Parallel()
	tk := script(hello + " lines 100; exec sleep 1000")
	tk.Config["logging"] = []map[string]any{{"driver": "journald", "rate_limit_burst": 10, "rate_limit_interval": "1h"}}
	j := submit(t, tk)
	j.await("running")
	count := func() int {
		return strings.Count(journal(t, "-o", "cat", "NOMAD_ALLOC_ID="+j.alloc, "_TRANSPORT=stdout"), "\n")
	}
	awaitTrue(t, "its lines are not in the journal", func() bool { return count() >= 10 })
	j.stop()
	// journald lets more through the more room there is on its disk.
	if n := count(); n >= 100 {
		t.Errorf("%d of 100 lines are in the journal, want a few tens at most", n)
	}
}

func TestNoLog(t *testing.T) {
	t.Parallel()
	config := command("lines", "3")
	config["logging"] = []map[string]any{{"driver": "none"}}
	j := submit(t, task{Config: config})
	j.await("complete")
	run(t, "journalctl", "--sync")
	if out, _ := exec.Command("journalctl", "-q", "-o", "cat", "NOMAD_ALLOC_ID="+j.alloc, "_TRANSPORT=stdout").Output(); len(out) != 0 || j.logs("stdout") != "" {
		t.Errorf("the journal has %q, Nomad %q", out, j.logs("stdout"))
	}
}
