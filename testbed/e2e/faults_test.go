// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

const brokerService = "systemd-brokerd.service"

// sleeper is a unit that runs until it is ended.
func sleeper(t *testing.T, api brokerv1.BrokerServiceClient, dirs *brokerv1.Directories) *brokerv1.Handle {
	t.Helper()
	resp, err := api.StartUnit(t.Context(), &brokerv1.StartUnitRequest{Spec: &brokerv1.UnitSpec{
		Id: rand.Text(), Name: []string{"fault"}, Command: hello, Args: []string{"ignore-term"},
		Directories: dirs, WorkingDirectory: "/", Resources: &brokerv1.Resources{MemoryMaxBytes: 64 << 20},
		Logging: &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_NONE},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetUnit().GetHandle()
}

// goesOn wants the unit to run still, ends it by a new broker's client, and wants
// nothing of it to be left.
func goesOn(t *testing.T, api brokerv1.BrokerServiceClient, h *brokerv1.Handle, pid string) {
	t.Helper()
	if now := show(t, h.GetUnit(), "MainPID")["MainPID"]; now != pid {
		t.Errorf("the unit's program was %s and is %s", pid, now)
	}
	if _, err := api.RemoveUnit(t.Context(), &brokerv1.RemoveUnitRequest{Handle: h}); err != nil {
		t.Errorf("the removal: %v", err)
	}
	nothingOf(t, h.GetUnit())
}

// TestFaultNoDescriptors: a broker that can open no more goes on, and so do its units.
func TestFaultNoDescriptors(t *testing.T) {
	dropIn(t, brokerService, "LimitNOFILE=32")
	nomad, group := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad")
	api := brokerAs(t, nomad, group)
	h := sleeper(t, api, raceDirectories(t, nomad, group))
	program, broker := show(t, h.GetUnit(), "MainPID")["MainPID"], mainPID(t, brokerService)
	var conns []interface{ Close() error }
	complains := func() bool {
		return strings.Contains(run(t, "journalctl", "--no-pager", "--quiet", "_PID="+show(t, brokerService, "MainPID")["MainPID"]), "too many open files")
	}
	for deadline := time.Now().Add(patience); !complains(); {
		if time.Now().After(deadline) {
			t.Fatal("the broker always had enough descriptors, so that this shows nothing")
		}
		for _, at := range []struct{ network, path string }{{"unix", apiSocket}, {"unixpacket", fdsSocket}} {
			for range 16 {
				if conn, err := connectAs(nomad, group, at.network, at.path); err == nil {
					conns = append(conns, conn)
				}
			}
		}
	}
	if now := mainPID(t, brokerService); now != broker {
		t.Errorf("the broker was %d and is %d", broker, now)
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	goesOn(t, api, h, program)
}

// TestFaultNoMemory: a broker that the kernel ends for its memory is started again,
// and finds its units.
func TestFaultNoMemory(t *testing.T) {
	dropIn(t, brokerService, "MemoryMax=32M\nMemorySwapMax=0")
	nomad, group := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad")
	api := brokerAs(t, nomad, group)
	h := sleeper(t, api, raceDirectories(t, nomad, group))
	program, broker := show(t, h.GetUnit(), "MainPID")["MainPID"], mainPID(t, brokerService)
	largeCalls(t, nomad, group, 60, 64)
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) { // until systemd has started the next
		now := show(t, brokerService, "MainPID", "ActiveState")
		if now["ActiveState"] == "active" && now["MainPID"] != "0" && mainPID(t, brokerService) != broker {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the broker always had enough memory, so that this shows nothing")
		}
	}
	if _, err := brokerAs(t, nomad, group).ListUnits(t.Context(), &brokerv1.ListUnitsRequest{}); err != nil {
		t.Errorf("the next broker does not answer: %v", err)
	}
	goesOn(t, brokerAs(t, nomad, group), h, program)
}

// TestFaultNoSpace: while /run is full nothing starts, and the caller is told why; what
// runs goes on and can be ended (G17).
func TestFaultNoSpace(t *testing.T) {
	nomad, group := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad")
	api, dirs := brokerAs(t, nomad, group), raceDirectories(t, nomad, group)
	h := sleeper(t, api, dirs)
	program, broker := show(t, h.GetUnit(), "MainPID")["MainPID"], mainPID(t, brokerService)
	const filler = "/run/e2e-filler"
	room := func() { run(t, "rm", "-f", filler) }
	t.Cleanup(room)
	run(t, "sh", "-c", "cat /dev/zero >"+filler+" 2>/dev/null; test -s "+filler)
	if err := tick(t, nomad, group, dirs); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "no space left on device") || !strings.Contains(err.Error(), "see df /run") {
		t.Errorf("a start without room in /run gives %v", err)
	}
	goesOn(t, api, h, program)
	room()
	if err := tick(t, nomad, group, dirs); err != nil {
		t.Errorf("a start with room again: %v", err)
	}
	if now := mainPID(t, brokerService); now != broker {
		t.Errorf("the broker was %d and is %d", broker, now)
	}
}

// TestFaultClockJumps: by a day and back, while a unit runs (J8).
func TestFaultClockJumps(t *testing.T) {
	nomad, group := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad")
	api, dirs := brokerAs(t, nomad, group), raceDirectories(t, nomad, group)
	h := sleeper(t, api, dirs)
	program, broker := show(t, h.GetUnit(), "MainPID")["MainPID"], mainPID(t, brokerService)
	shifted := time.Duration(0)
	jump := func(by time.Duration) {
		now := unix.NsecToTimeval(time.Now().Add(by).UnixNano())
		if err := unix.Settimeofday(&now); err != nil {
			t.Fatal(err)
		}
		shifted += by
	}
	defer func() { jump(-shifted) }()
	for _, by := range []time.Duration{24 * time.Hour, -48 * time.Hour} {
		jump(by)
		from := time.Now()
		if err := tick(t, nomad, group, dirs); err != nil {
			t.Errorf("a start after a jump by %s: %v", by, err)
		}
		if took := time.Since(from); took > patience {
			t.Errorf("a start after a jump by %s takes %s", by, took)
		}
	}
	if now := mainPID(t, brokerService); now != broker {
		t.Errorf("the broker was %d and is %d", broker, now)
	}
	goesOn(t, api, h, program)
}

// TestSocketsCannotBeReplaced: who could would get the secrets of tasks (A9).
func TestSocketsCannotBeReplaced(t *testing.T) {
	for _, command := range []string{
		"rm -f " + apiSocket, "mv " + apiSocket + " /tmp/moved", "ln -s /tmp/other /run/systemd-brokerd/new", "mkdir /run/systemd-brokerd/new",
		"mv /run/systemd-brokerd /run/other",
	} {
		if out, err := asUser("nomad", command); err == nil {
			t.Errorf("%s succeeds: %s", command, out)
		}
	}
	nomad, group := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad")
	if _, err := brokerAs(t, nomad, group).Info(t.Context(), &brokerv1.InfoRequest{}); err != nil {
		t.Error(err)
	}
}

// TestUnitOfAnAdministratorIsNotTheClients, which has the name of one of the client's
// that the administrator ended (B8).
func TestUnitOfAnAdministratorIsNotTheClients(t *testing.T) {
	nomad, group := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad")
	api := brokerAs(t, nomad, group)
	h := sleeper(t, api, raceDirectories(t, nomad, group))
	run(t, "systemctl", "kill", "--signal=KILL", h.GetUnit())
	run(t, "systemctl", "stop", h.GetUnit())
	_ = systemctl("reset-failed", h.GetUnit())
	run(t, "systemd-run", "--unit="+h.GetUnit(), "--service-type=exec", "/bin/sleep", "3600")
	t.Cleanup(func() { _ = systemctl("stop", h.GetUnit()) })
	pid := mainPID(t, h.GetUnit())
	_, signalled := api.SignalUnit(t.Context(), &brokerv1.SignalUnitRequest{Handle: h, Signal: 9})
	_, stopped := api.StopUnit(t.Context(), &brokerv1.StopUnitRequest{Handle: h})
	_, removed := api.RemoveUnit(t.Context(), &brokerv1.RemoveUnitRequest{Handle: h})
	t.Logf("the signal: %v; the stop: %v; the removal: %v", signalled, stopped, removed)
	if now := show(t, h.GetUnit(), "MainPID", "ActiveState"); now["ActiveState"] != "active" || mainPID(t, h.GetUnit()) != pid {
		t.Errorf("the client reached the administrator's unit: %v", now)
	}
	if signalled == nil {
		t.Error("the client could signal the administrator's unit")
	}
}
