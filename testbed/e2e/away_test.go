// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// failsOnHangup is a task that says "ready" and, on SIGHUP, ends with code 7.
func failsOnHangup() task {
	const script = `#!/bin/sh
trap 'echo leaving; exit 7' HUP
echo ready
while :; do sleep 60 & wait $!; done
`
	return task{
		Type:      "service",
		Config:    map[string]any{"command": "local/fails-on-hangup"},
		Templates: []template{{Path: "local/fails-on-hangup", Text: script, Perms: "755"}},
	}
}

// TestExitIsToldLater: a task ends while somebody who should hear of it is not
// there. Nomad learns the exit code or signal all the same, once they are back.
func TestExitIsToldLater(t *testing.T) {
	broker := []string{"systemd-brokerd.socket", "systemd-brokerd-fds.socket", "systemd-brokerd.service"}
	agent := []string{"nomad.service"}
	for _, tt := range []struct {
		name   string
		away   []string // units
		strike syscall.Signal
		want   string // exit code and signal
	}{
		{"while the broker is away", broker, syscall.SIGKILL, "0 9"},
		{"while the agent is away", agent, syscall.SIGHUP, "7 0"},
		{"while both are away", slices.Concat(agent, broker), syscall.SIGHUP, "7 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := submit(t, failsOnHangup())
			j.await("running")
			j.awaitLog("ready")
			pid := j.pid()
			t.Cleanup(func() { run(t, "systemctl", append([]string{"start"}, tt.away...)...) })
			run(t, "systemctl", append([]string{"stop"}, tt.away...)...)
			if !slices.Contains(tt.away, agent[0]) {
				d := driverHealth(t, func(d driverInfo) bool { return !d.Detected })
				if !strings.Contains(d.HealthDescription, "systemd-brokerd") {
					t.Errorf("the driver does not say why it is away: %+v", d)
				}
			}
			if err := syscall.Kill(pid, tt.strike); err != nil {
				t.Fatalf("the task did not outlive them: %v", err)
			}
			awaitGone(t, pid)
			run(t, "systemctl", append([]string{"start"}, tt.away...)...)
			driverHealth(t, healthy)
			if e := j.terminated("failed"); e.Details["exit_code"]+" "+e.Details["signal"] != tt.want {
				t.Errorf("it ended with %v", e.Details)
			}
		})
	}
}

// TestExitAfterTheBrokerDiedIsTrue: a broker that knows the task only from PID 1
// tells its end as truly as the one that started it.
func TestExitAfterTheBrokerDiedIsTrue(t *testing.T) {
	j := submit(t, failsOnHangup())
	j.await("running")
	j.awaitLog("ready")
	broker := mainPID(t, brokerService)
	run(t, "systemctl", "kill", "-s", "KILL", brokerService)
	awaitGone(t, broker)
	run(t, "nomad", "alloc", "signal", "-s", "SIGHUP", j.alloc)
	if e := j.terminated("failed"); e.Details["exit_code"] != "7" || e.Details["signal"] != "0" {
		t.Errorf("it ended with %v", e.Details)
	}
}

// TestTasksCanBeStoppedWithoutAPolicy: a policy that cannot be read stops new
// tasks, and leaves the operator in control of those that run.
func TestTasksCanBeStoppedWithoutAPolicy(t *testing.T) {
	j := submit(t, task{Type: "service", Config: command("signals")})
	j.await("running")
	j.awaitLog("listening")
	away := policyDir + ".away"
	if err := os.Rename(policyDir, away); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Rename(away, policyDir); err != nil {
			t.Error(err)
		}
		run(t, "systemctl", "restart", "systemd-brokerd")
		driverHealth(t, healthy)
	})
	run(t, "systemctl", "restart", "systemd-brokerd")
	driverHealth(t, func(d driverInfo) bool { return !d.Healthy })
	j.stop()
	if out := j.logs("stdout"); !strings.Contains(out, "signal terminated") {
		t.Errorf("the task saw:\n%s", out)
	}
}

// awaitGone waits until the process has ended.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	run(t, "timeout", fmt.Sprint(patience.Seconds()), "tail", "--pid", strconv.Itoa(pid), "-f", "/dev/null")
}
