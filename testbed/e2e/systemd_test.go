// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// unit is the name of the job's unit.
func (j *job) unit() string {
	j.t.Helper()
	names := units(j.t)
	for _, name := range names {
		if strings.HasPrefix(name, "nomad-task-"+j.alloc[:8]) && !strings.Contains(name, "-exec-") {
			return name
		}
	}
	j.t.Fatalf("no unit of allocation %s among %v", j.alloc, names)
	return ""
}

// units are all units of tasks that PID 1 has, in whatever state.
func units(t *testing.T) []string {
	t.Helper()
	out := run(t, "systemctl", "list-units", "--all", "--plain", "--no-legend", "nomad-*.service")
	var names []string
	for line := range strings.Lines(out) {
		names = append(names, strings.Fields(line)[0])
	}
	return names
}

// show reads properties of a unit.
func show(t *testing.T, unit string, names ...string) map[string]string {
	t.Helper()
	out := run(t, "systemctl", "show", unit, "--property="+strings.Join(names, ","))
	props := make(map[string]string)
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		props[name] = value
	}
	return props
}

// pid is the main process of the job's unit.
func (j *job) pid() int {
	j.t.Helper()
	pid, err := strconv.Atoi(show(j.t, j.unit(), "MainPID")["MainPID"])
	if err != nil || pid == 0 {
		j.t.Fatalf("the unit has no main process: %v", err)
	}
	return pid
}

// nothingIsLeft fails the test unless all units of the job's task are gone, and
// with them their files, control groups and secrets. Other tests may have theirs.
func (j *job) nothingIsLeft() {
	j.t.Helper()
	if j.alloc == "" {
		return // it was never placed
	}
	mine := func() []string {
		return slices.DeleteFunc(units(j.t), func(name string) bool { return !strings.Contains(name, j.alloc[:8]) })
	}
	deadline := time.Now().Add(patience)
	for len(mine()) > 0 && time.Now().Before(deadline) {
		time.Sleep(100 * time.Millisecond) // Nomad removes a task a moment after it calls it ended
	}
	if left := mine(); len(left) > 0 {
		j.t.Errorf("units are left in systemd: %v\n%s", left, run(j.t, "systemctl", "status", "--no-pager", left[0]))
	}
	if left := leftBehind(j.alloc[:8]); len(left) > 0 {
		j.t.Errorf("files are left: %v", left)
	}
}

// leftBehind are files and control groups of units with this in their names.
func leftBehind(part string) []string {
	var left []string
	for _, dir := range []string{"/run/systemd/transient", "/run/systemd-brokerd/starts", "/sys/fs/cgroup/brokerd.slice/brokerd-nomad.slice"} {
		found, _ := filepath.Glob(dir + "/nomad-*" + part + "*")
		left = append(left, found...)
	}
	return left
}

// procStatus reads fields of /proc/PID/status.
func procStatus(t *testing.T, pid int) map[string]string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.Join(strings.Fields(value), " ")
	}
	return fields
}

// mainPID is the main process of a service of the host.
func mainPID(t *testing.T, service string) int {
	t.Helper()
	pid, err := strconv.Atoi(show(t, service, "MainPID")["MainPID"])
	if err != nil || pid == 0 {
		t.Fatalf("%s does not run", service)
	}
	return pid
}

// asUser runs a shell command as a user of the host.
func asUser(user, command string) (string, error) {
	out, err := exec.Command("setpriv", "--reuid="+user, "--regid="+user, "--clear-groups", "sh", "-c", command).CombinedOutput()
	return string(out), err
}

// driverHealth waits until the node shows the driver as good wants it. The agent
// itself may still be on its way up.
func driverHealth(t *testing.T, good func(driverInfo) bool) driverInfo {
	t.Helper()
	type stub struct{ ID string }
	nodes := watch(t, "/nodes", func(n []stub) bool { return len(n) == 1 })
	n := watch(t, "/node/"+nodes[0].ID, func(n node) bool { return n.Status == "ready" && good(n.Drivers["systemd"]) })
	return n.Drivers["systemd"]
}

// agentConfig gives the agent one more file of configuration, until the end of the test.
func agentConfig(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("/etc/nomad.d", name)
	restarted := func() { run(t, "systemctl", "restart", "nomad.service"); driverHealth(t, healthy) }
	t.Cleanup(func() { _ = os.Remove(file); restarted() })
	must(t, os.WriteFile(file, []byte(text), 0o644))
	restarted()
}

type node struct {
	Status     string
	Drivers    map[string]driverInfo
	Attributes map[string]string
}

type driverInfo struct {
	Detected, Healthy bool
	HealthDescription string
}

func healthy(d driverInfo) bool { return d.Detected && d.Healthy }
