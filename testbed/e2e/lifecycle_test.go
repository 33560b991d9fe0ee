// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// script is a task that runs a shell script of its own.
func script(text string) task {
	return task{
		Type: "service", Config: map[string]any{"command": "local/script"},
		Templates: []template{{Path: "local/script", Text: "#!/bin/sh\n" + text, Perms: "755"}},
	}
}

// TestNothingEscapesAStop: what a task starts ends with it, however it hides.
func TestNothingEscapesAStop(t *testing.T) {
	t.Parallel()
	const canary = "31536001" // seconds nobody else sleeps
	for _, tt := range []struct {
		name, text string
		processes  int // at least
	}{
		{"children and an exit of 0", "trap 'exit 0' TERM; sleep " + canary + " & ( ( exec sleep " + canary + " ) & ); setsid sleep " + canary + " & echo ready; wait", 3},
		{"those that ignore SIGTERM", "trap '' TERM; setsid sh -c 'trap \"\" TERM HUP INT; sleep " + canary + "' & echo ready; wait; sleep " + canary, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tk := script(tt.text)
			tk.KillTimeout = time.Second
			j := submit(t, tk)
			j.await("running")
			j.awaitLog("ready")
			awaitTrue(t, "there is nothing to be left behind", func() bool {
				out, err := exec.Command("pgrep", "-f", "sleep "+canary).Output()
				return err == nil && strings.Count(string(out), "\n") >= tt.processes
			})
			j.stop()
			j.purge()
			j.nothingIsLeft()
			if out, err := exec.Command("pgrep", "-af", "sleep "+canary).Output(); err == nil {
				t.Errorf("a process is left: %s", out)
			}
		})
	}
}

// TestLongKillTimeoutIsNotWaitedFor: the time given is the most it takes.
func TestLongKillTimeoutIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	tk := script("trap 'exit 0' TERM; echo ready; sleep 1000 & wait")
	tk.Type, tk.KillTimeout = "batch", 2*time.Hour // a service would have to be deployed in that time
	j := submit(t, tk)
	j.await("running")
	j.awaitLog("ready")
	from := time.Now()
	j.stop()
	t.Logf("from nomad job stop to complete: %.2f s", time.Since(from).Seconds())
	if took := j.killTook(); took >= 30*time.Second { // the most that an agent gives by default
		t.Errorf("its end took %s", took)
	}
}

// TestBrokerSeesAStopThrough: once begun, a stop needs neither driver nor agent.
func TestBrokerSeesAStopThrough(t *testing.T) {
	tk := script("trap 'echo heard' TERM; echo ready; while :; do sleep 1 & wait $!; done")
	tk.KillTimeout = 15 * time.Second
	j := submit(t, tk)
	j.await("running")
	j.awaitLog("ready")
	pid := j.pid()
	call(t, "DELETE", "/job/"+j.id, nil, nil)
	j.awaitLog("heard")
	t.Cleanup(func() { run(t, "systemctl", "start", "nomad.service"); driverHealth(t, healthy) })
	run(t, "systemctl", "kill", "--kill-who=all", "-s", "KILL", "nomad.service")
	run(t, "systemctl", "stop", "nomad.service")
	awaitGone(t, pid)
	run(t, "systemctl", "start", "nomad.service")
	driverHealth(t, healthy)
	j.await("complete")
}

func TestSignalTarget(t *testing.T) {
	t.Parallel()
	const text = "trap 'echo main hears' USR1; sh -c 'trap \"echo child hears\" USR1; echo ready; while :; do sleep 1; done' & while :; do wait; done"
	for _, tt := range []struct {
		target string
		child  bool
	}{{"main", false}, {"all", true}} {
		t.Run(tt.target, func(t *testing.T) {
			tk := script(text)
			tk.Config["signal_target"] = tt.target
			j := submit(t, tk)
			j.await("running")
			j.awaitLog("ready")
			run(t, "nomad", "alloc", "signal", "-s", "10", j.alloc) // SIGUSR1 by number
			out := j.awaitLog("main hears")
			if tt.child {
				out = j.awaitLog("child hears")
			}
			if strings.Contains(out, "child hears") != tt.child {
				t.Errorf("the task saw:\n%s", out)
			}
		})
	}
}

// TestOutOfMemoryInAChild: the kernel kills the task as a whole, and it is told.
func TestOutOfMemoryInAChild(t *testing.T) {
	t.Parallel()
	tk := script("tail /dev/zero; echo survived; exit 3")
	tk.Type, tk.Memory = "batch", 40
	j := submit(t, tk)
	if e := j.terminated("failed"); e.Details["oom_killed"] != "true" {
		t.Errorf("it ended with %v", e.Details)
	}
	if out := j.logs("stdout"); strings.Contains(out, "survived") {
		t.Errorf("half of the task went on:\n%s", out)
	}
}

// TestEndIsToldAtOnce gives the figure of how long Nomad takes to know.
func TestEndIsToldAtOnce(t *testing.T) {
	j := submit(t, task{Type: "service", Config: command("tick")})
	j.await("running")
	pid, from := j.pid(), time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	took := time.Duration(j.terminated("failed").Time - from.UnixNano())
	t.Logf("from the kill to the event: %d ms", took.Milliseconds())
	if took > 50*time.Second { // what looks again and again does so once a minute
		t.Errorf("the end was told after %s", took)
	}
}

// TestStatsAreTheTasks compares what Nomad shows with what the kernel and
// systemd say, and again after the driver has recovered the task.
func TestStatsAreTheTasks(t *testing.T) {
	j := submit(t, task{Type: "service", Config: command("eat", "20"), Memory: 64})
	j.await("running")
	check := func(when string) {
		t.Helper()
		group := "/sys/fs/cgroup" + show(t, j.unit(), "ControlGroup")["ControlGroup"]
		awaitTrue(t, when+": there are no statistics like the kernel's", func() bool {
			var s struct {
				Tasks map[string]struct {
					ResourceUsage struct {
						MemoryStats struct{ RSS, Usage, MaxUsage uint64 }
						CPUStats    struct {
							TotalTicks float64
							Measured   []string
						} `json:"CpuStats"`
					}
				}
			}
			if err := request("GET", "/client/allocation/"+j.alloc+"/stats", nil, &s); err != nil {
				return false
			}
			text, err := os.ReadFile(group + "/memory.current")
			current, perr := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
			if err != nil || perr != nil {
				t.Fatal(err, perr)
			}
			m := s.Tasks["task"].ResourceUsage.MemoryStats
			return m.RSS > 20<<20 && m.Usage > current/2 && m.Usage < current*2 && m.MaxUsage >= m.Usage &&
				len(s.Tasks["task"].ResourceUsage.CPUStats.Measured) > 0
		})
	}
	check("after the start")
	run(t, "pkill", "-KILL", "-f", "/usr/libexec/nomad/plugins/nomad-systemd-driver")
	driverHealth(t, healthy)
	check("after the driver was killed")
	run(t, "systemctl", "restart", "nomad.service")
	driverHealth(t, healthy)
	check("after a restart of the agent")
}

// TestUnitThatNoTaskKnowsIsCollected: an agent that has lost its state starts
// the job's task anew; the one from before is reported and removed.
func TestUnitThatNoTaskKnowsIsCollected(t *testing.T) {
	const config = "/etc/nomad.d/agent.hcl"
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	restart := func(text string) {
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, "systemctl", "restart", "nomad.service")
		driverHealth(t, healthy)
	}
	plugin := `plugin "nomad-systemd-driver" {` + "\n"
	if !strings.Contains(string(text), plugin) {
		t.Fatalf("%s has no block of the plugin", config)
	}
	j := submit(t, task{Type: "service", Config: command("tick")})
	j.await("running")
	pid, unit := j.pid(), j.unit()
	run(t, "systemctl", "stop", "nomad.service")
	t.Cleanup(func() { restart(string(text)) })
	run(t, "rm", "/var/lib/nomad/client/state.db")
	restart(strings.Replace(string(text), plugin, plugin+"  config {\n    orphans {\n      period = \"1s\"\n      grace  = \"5s\"\n    }\n  }\n", 1))
	awaitGone(t, pid)
	awaitTrue(t, "the log does not tell that it was removed", func() bool {
		return strings.Contains(journal(t, "-o", "cat", "-u", "nomad.service"), unit+" belonged to no task")
	})
	j.await("running")
	for _, name := range units(t) {
		if name == unit {
			t.Errorf("%s is left", unit)
		}
	}
}

// TestUnitsThatVanishedAreLostTasks: somebody else removed them; there are handles
// without units. Nomad is told so, and starts the task again if the job says so.
func TestUnitsThatVanishedAreLostTasks(t *testing.T) {
	j := submit(t, task{Type: "service", Config: command("tick")})
	j.await("running")
	pid, unit := j.pid(), j.unit()
	sockets := []string{"systemd-brokerd.socket", "systemd-brokerd-fds.socket", "systemd-brokerd-mounts.socket"}
	run(t, "systemctl", append([]string{"stop", "nomad.service", "systemd-brokerd.service", "systemd-brokerd-mounts.service"}, sockets...)...)
	t.Cleanup(func() {
		run(t, "systemctl", append([]string{"start", "nomad.service"}, sockets...)...)
		driverHealth(t, healthy)
	})
	run(t, "systemctl", "stop", unit)
	awaitGone(t, pid)
	run(t, "umount", "/run/host/systemd-brokerd")
	run(t, "rm", "-r", "/run/systemd-brokerd", "/run/host/systemd-brokerd")
	run(t, "systemctl", append([]string{"start", "nomad.service"}, sockets...)...)
	driverHealth(t, healthy)
	if text := j.messages(j.await("failed")); !strings.Contains(text, unit+" is gone and its exit status with it") {
		t.Errorf("no event tells what became of it:\n%s", text)
	}
}
