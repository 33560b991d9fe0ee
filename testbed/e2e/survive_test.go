// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestTaskSurvives: whatever dies between a task and Nomad, the task keeps its
// process, the log of one that writes 100 lines a second has each line once and in
// order, and its end is told truly.
func TestTaskSurvives(t *testing.T) {
	j := submit(t, counter(100))
	j.await("running")
	j.awaitLog("out 10\n")
	pid := j.pid()
	tests := []struct {
		name   string
		strike func(t *testing.T)
	}{
		{"a kill of the driver", func(t *testing.T) {
			run(t, "pkill", "-KILL", "-x", "-f", "/usr/libexec/nomad/plugins/nomad-systemd-driver")
		}},
		{"a restart of the agent", func(t *testing.T) { run(t, "systemctl", "restart", "nomad.service") }},
		{"a kill of the agent", func(t *testing.T) { run(t, "systemctl", "kill", "--kill-who=main", "-s", "KILL", "nomad.service") }},
		{"a restart of the broker", func(t *testing.T) { run(t, "systemctl", "restart", "systemd-brokerd.service") }},
		{"a kill of the broker", func(t *testing.T) { run(t, "systemctl", "kill", "-s", "KILL", "systemd-brokerd.service") }},
		{"a kill of driver, agent and broker", func(t *testing.T) {
			// Not the log collectors, which live in nomad.service too.
			run(t, "sh", "-c", "pkill -KILL -x -f /usr/libexec/nomad/plugins/nomad-systemd-driver & "+
				"systemctl kill --kill-who=main -s KILL nomad.service systemd-brokerd.service; wait")
		}},
		{"a restart of the system bus", func(t *testing.T) { run(t, "systemctl", "restart", "dbus.service") }},
		{"an upgrade of the broker", upgrade},
		{"a reload of PID 1", func(t *testing.T) { run(t, "systemctl", "daemon-reload") }},
		{"a reexecution of PID 1", func(t *testing.T) { run(t, "systemctl", "daemon-reexec") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := j.in(t)
			tt.strike(t)
			driverHealth(t, healthy)
			j.await("running")
			n := lines(t, j.logs("stdout"), "out")
			lines(t, j.awaitLog(fmt.Sprintf("out %d\n", n+100)), "out")
			lines(t, j.logs("stderr"), "err")
			j.sameProcess(pid)
			for _, name := range units(t) {
				if !strings.Contains(name, j.alloc[:8]) {
					continue
				}
				group := show(t, name, "ControlGroup")["ControlGroup"]
				if text, err := os.ReadFile("/sys/fs/cgroup" + group + "/memory.max"); err != nil || string(text) == "max\n" {
					t.Errorf("the limit of its memory is %q, %v", text, err)
				}
			}
		})
	}
	j.endsWell()
}

// upgrade puts another build in the broker's place and restarts it, as a package
// does.
func upgrade(t *testing.T) {
	const program = "/usr/sbin/systemd-brokerd"
	old := run(t, program, "version")
	run(t, "cp", "--preserve", program, "/var/tmp/systemd-brokerd-old")
	install := func(from string) {
		run(t, "install", "-m", "0755", from, program+".new")
		run(t, "mv", program+".new", program)
		run(t, "systemctl", "restart", "systemd-brokerd.service")
	}
	install("./systemd-brokerd-next")
	t.Cleanup(func() { install("/var/tmp/systemd-brokerd-old"); driverHealth(t, healthy) })
	if now := run(t, program, "version"); now == old {
		t.Errorf("it is still %s", now)
	}
}

func TestFingerprintNamesVersions(t *testing.T) {
	var nodes []struct{ ID string }
	call(t, "GET", "/nodes", nil, &nodes)
	n := watch(t, "/node/"+nodes[0].ID, func(n node) bool { return healthy(n.Drivers["systemd"]) })
	systemd := strings.Fields(run(t, "systemctl", "--version"))[1]
	for name, want := range map[string]string{
		"driver.systemd":                 "1",
		"driver.systemd.client":          "nomad",
		"driver.systemd.systemd.version": systemd,
		"driver.systemd.broker.version":  "",
		"driver.systemd.version":         "",
	} {
		if got, ok := n.Attributes[name]; !ok || !strings.HasPrefix(got, want) {
			t.Errorf("attribute %s is %q, want %q…", name, got, want)
		}
	}
}
