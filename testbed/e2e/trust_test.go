// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestAgentHasNoPrivilege(t *testing.T) {
	pids := []int{mainPID(t, "nomad.service")}
	out := run(t, "pgrep", "-x", "-f", "/usr/libexec/nomad/plugins/nomad-systemd-driver")
	for line := range strings.Lines(out) {
		var pid int
		if _, err := fmt.Sscan(line, &pid); err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	if len(pids) < 2 {
		t.Fatalf("the driver does not run: %s", out)
	}
	uid := run(t, "id", "-u", "nomad")
	for _, pid := range pids {
		s := procStatus(t, pid)
		if want := strings.Join([]string{uid, uid, uid, uid}, " "); s["Uid"] != want {
			t.Errorf("process %d (%s) has the uids %s, want %s", pid, s["Name"], s["Uid"], want)
		}
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
			if s[set] != "0000000000000000" {
				t.Errorf("process %d (%s) has %s %s", pid, s["Name"], set, s[set])
			}
		}
		if s["NoNewPrivs"] != "1" {
			t.Errorf("process %d (%s) may gain privileges", pid, s["Name"])
		}
	}
}

func TestStrangerIsClosedOnBeforeAnyHTTP2Byte(t *testing.T) {
	const socket = "/run/systemd-brokerd/broker.sock"
	if out, err := asUser("alice", "echo x | busybox nc local:"+socket); err == nil {
		t.Errorf("the socket's mode lets alice in: %s", out)
	}
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(socket, info.Mode().Perm()) })
	// root is no client either, and what the kernel says of it is true.
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
	buf := make([]byte, 64)
	if n, err := conn.Read(buf); n != 0 || err == nil {
		t.Errorf("a stranger was sent %q (%v)", buf[:n], err)
	}
	since := time.Now().Add(-time.Minute).Format("2006-01-02 15:04:05")
	run(t, "journalctl", "--sync")
	if out := run(t, "journalctl", "-u", "systemd-brokerd", "-o", "cat", "--since", since, "BROKER_PEER_UID=0"); !strings.Contains(out, "connection refused") {
		t.Errorf("the audit log has no word of it: %s", out)
	}
}

func TestEnvironmentIsHiddenFromOtherUsers(t *testing.T) {
	const canary = "canary-4f1b9c"
	j := submit(t, task{Type: "service", Config: command("tick"), Env: map[string]string{"SECRET": canary}})
	j.await("running")
	unit := j.unit()
	for what, shell := range map[string]string{
		"systemctl show":         "systemctl show " + unit,
		"D-Bus":                  "busctl get-property org.freedesktop.systemd1 /org/freedesktop/systemd1/unit/$(systemd-escape " + unit + ") org.freedesktop.systemd1.Service Environment; busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager GetUnit s " + unit,
		"transient units":        "cat /run/systemd/transient/*",
		"the broker's directory": "grep -r . /run/systemd-brokerd",
		"/proc":                  fmt.Sprintf("cat /proc/%d/environ", j.pid()),
		"the data directory":     "grep -r . /var/lib/nomad",
	} {
		if out, _ := asUser("alice", shell); strings.Contains(out, canary) {
			t.Errorf("alice reads it in %s", what)
		}
	}
	// Not even root finds it in a file: it is in the process alone.
	for _, dir := range []string{"/run/systemd", "/run/systemd-brokerd"} {
		if out, err := exec.Command("grep", "-r", "-l", canary, dir).Output(); err == nil {
			t.Errorf("it is in %s", out)
		}
	}
	run(t, "journalctl", "--sync")
	if out, _ := exec.Command("sh", "-c", "journalctl --no-pager -o export -u systemd-brokerd | grep -c "+canary).Output(); strings.TrimSpace(string(out)) != "0" {
		t.Error("it is in the broker's log")
	}
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", j.pid())); err != nil || !strings.Contains(string(text), canary) {
		t.Errorf("the task itself does not have it: %v", err)
	}
}

func TestWithoutAPolicyNothingStarts(t *testing.T) {
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
	d := driverHealth(t, func(d driverInfo) bool { return !d.Healthy })
	if d.HealthDescription == "" {
		t.Errorf("the driver does not say why: %+v", d)
	}
}
