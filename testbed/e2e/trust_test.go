// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
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
	if out := journal(t, "-u", "systemd-brokerd", "-o", "cat", "--since", since, "BROKER_PEER_UID=0"); !strings.Contains(out, "connection refused") {
		t.Errorf("the audit log has no word of it: %s", out)
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
