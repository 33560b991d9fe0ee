// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"errors"
	"slices"
	"testing"

	"nomad-systemd-driver/broker/systemd/fakepid1"
	"nomad-systemd-driver/broker/systemd/unitpath"
)

func dialBus(t *testing.T, pid1 *fakepid1.Server) *Conn {
	t.Helper()
	return dialOptions(t, Options{PrivatePath: "/nonexistent/private", BusPath: pid1.SocketPath()})
}

func TestTheBusServesWhereThePrivateSocketDoesNot(t *testing.T) {
	pid1 := fakepid1.NewBus(t)
	c := dialBus(t, pid1)
	status, err := c.start(testContext(t), testUnit, nil)
	if err != nil || status.ActiveState != Active {
		t.Fatalf("got %+v, %v; want a running unit", status, err)
	}
	_, _ = c.Next(testContext(t)) // the start itself
	pid1.Exit(testUnit, 3)
	changes, err := c.Next(testContext(t))
	if err != nil || !slices.Equal(changes.Units, []string{testUnit}) {
		t.Errorf("got %+v, %v; want a change of the unit", changes, err)
	}
	if err := c.Stop(testContext(t), testUnit); err != nil {
		t.Error(err)
	}
}

func TestThePrivateSocketIsPreferred(t *testing.T) {
	private, bus := fakepid1.New(t), fakepid1.NewBus(t)
	dialOptions(t, Options{PrivatePath: private.SocketPath(), BusPath: bus.SocketPath()})
	if p, b := private.Connections(), bus.Connections(); p != 1 || b != 0 {
		t.Errorf("got %d private and %d bus connections, want 1 and 0", p, b)
	}
}

func TestSignalsOfOthersOnTheBusAreIgnored(t *testing.T) {
	const stranger = ":1.66"
	pid1 := fakepid1.NewBus(t)
	c := dialBus(t, pid1)
	pid1.Emit(stranger, unitpath.Of(testUnit), propertiesInterface, "PropertiesChanged", unitInterface)
	pid1.Emit(stranger, managerPath, managerInterface, "UnitRemoved", testUnit, unitpath.Of(testUnit))
	pid1.Emit(stranger, managerPath, managerInterface, "Reloading", false)
	pid1.Emit(stranger, managerPath, managerInterface, "JobRemoved", "of the wrong type")
	pid1.Emit(stranger, busPath, busInterface, "NameOwnerChanged", destination, ":1.1", ":1.66")
	if err := c.Health(); err != nil {
		t.Fatalf("the link ended: %v", err)
	}
	if changes, ok := c.events.take(); ok {
		t.Errorf("got %+v, want no change", changes)
	}
}

func TestPID1LeavingTheBusEndsTheLink(t *testing.T) {
	pid1 := fakepid1.NewBus(t)
	c := dialBus(t, pid1)
	pid1.SetOwner("")
	awaitLoss(t, c)
	if err := c.Health(); !errors.Is(err, ErrNotConnected) {
		t.Errorf("without PID 1: got %v, want ErrNotConnected", err)
	}
	pid1.SetOwner(":1.99")
	if changes, err := c.Next(testContext(t)); err != nil || !changes.Resync {
		t.Fatalf("got %+v, %v; want a resync", changes, err)
	}
	pid1.Announce(testUnit, 1)
	if changes, err := c.Next(testContext(t)); err != nil || !slices.Equal(changes.Units, []string{testUnit}) {
		t.Errorf("signals of the new owner: got %+v, %v", changes, err)
	}
}

// The daemon answers for a PID 1 that left before it did.
func TestAReplyOfTheDaemonInPID1sPlaceIsALostReply(t *testing.T) {
	tests := []struct {
		name, error string
		want        error
	}{
		{"PID 1 left without replying", errorNoReply, ErrNotStarted},
		{"PID 1 was not there", errorServiceUnknown, nil}, // sent again, over a new link
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pid1 := fakepid1.NewBus(t)
			c := dialBus(t, pid1)
			pid1.Refuse("StartTransientUnit", test.error, "")
			if _, err := c.start(testContext(t), testUnit, nil); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}
