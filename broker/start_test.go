// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"nomad-systemd-driver/broker/systemd/fakepid1"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// hold has PID 1 leave starts unfinished, and the broker lose patience with them.
func (w *world) hold() {
	w.pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{Hold: true} })
	w.server.startTimeout = 50 * time.Millisecond
}

// resume ends what hold began.
func (w *world) resume() {
	w.pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{} })
}

func (w *world) tryStart(id string) error {
	_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: w.spec(id)})
	return err
}

func TestUnitWhoseStartHasNoKnownOutcomeIsRemoved(t *testing.T) {
	w := newWorld(t)
	w.hold()
	wantCode(t, w.tryStart("a/1"), codes.Unavailable, "outcome unknown")
	calls := w.pid1.Calls("StartTransientUnit")
	unit, _ := calls[0].Args[0].(string)
	w.vanished(unit)
	w.resume()
	if err := w.tryStart("a/1"); err != nil {
		t.Errorf("the id cannot be used again: %v", err)
	}
}

// TestUnitThatMayRunKeepsItsIDAndItsPlace until it is removed, which takes a
// while here: PID 1 does not answer.
func TestUnitThatMayRunKeepsItsIDAndItsPlace(t *testing.T) {
	w := newWorld(t)
	w.start("a/2")
	w.start("a/3")
	w.hold()
	w.pid1.Fail("KillUnit", fakepid1.NoReply)
	wantCode(t, w.tryStart("a/1"), codes.Unavailable, "outcome unknown")
	w.resume()
	wantCode(t, w.tryStart("a/1"), codes.Unavailable, "being removed; try again")
	wantCode(t, w.tryStart("a/4"), codes.ResourceExhausted, "max_units")
	if list, err := w.client.ListUnits(w.ctx(), &brokerv1.ListUnitsRequest{}); err != nil || len(list.GetUnits()) != 2 {
		t.Errorf("the client sees %v, %v; want the two units that started", list.GetUnits(), err)
	}
	w.pid1.Disconnect()
	for _, c := range w.pid1.Calls("StartTransientUnit")[2:] {
		name, _ := c.Args[0].(string)
		w.vanished(name)
	}
	if err := w.tryStart("a/1"); err != nil {
		t.Errorf("the id cannot be used again: %v", err)
	}
}

func TestSessionWhoseStartHasNoKnownOutcomeIsRemoved(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	w.hold()
	name, answer := w.begin(w.ctx(), w.session(u))
	wantCode(t, <-answer, codes.Unavailable, "outcome unknown")
	w.vanished(name)
}

// TestFailedUnitThatPID1KeepsIsRemovedLater: its name would be taken for good.
func TestFailedUnitThatPID1KeepsIsRemovedLater(t *testing.T) {
	w := newWorld(t)
	w.pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{JobResult: "failed", ExitStatus: 203} })
	w.pid1.Refuse("ResetFailedUnit", "org.example.Failed", "no")
	wantCode(t, w.tryStart("a/1"), codes.FailedPrecondition, "cannot execute /local/server")
	name, _ := w.pid1.Calls("StartTransientUnit")[0].Args[0].(string)
	w.vanished(name)
	w.resume()
	if err := w.tryStart("a/1"); err != nil {
		t.Errorf("the id cannot be used again: %v", err)
	}
}

// TestPID1GivesUpOnAStartFirst: it knows what became of the unit then.
func TestPID1GivesUpOnAStartFirst(t *testing.T) {
	w := newWorld(t)
	u, ok := w.pid1.Unit(w.start("a/1").GetHandle().GetUnit())
	if !ok {
		t.Fatal("PID 1 lacks the unit")
	}
	usec, _ := u.Started["TimeoutStartUSec"].(uint64)
	if limit := time.Duration(usec) * time.Microsecond; limit == 0 || limit > startTimeout-20*time.Second {
		t.Errorf("PID 1 has %s and the broker %s", limit, startTimeout)
	}
}
