// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"bytes"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// TestUnitThatReplacedAnotherIsLeftAlone: an administrator ended a unit, and started
// one of the same name. The client's handle is of the first.
func TestUnitThatReplacedAnotherIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	h := w.start("a/1").GetHandle()
	w.pid1.Remove(h.GetUnit())
	w.await("a/1", lost)
	w.pid1.Add(h.GetUnit(), map[string]any{"InvocationID": bytes.Repeat([]byte{7}, 16)})
	w.pid1.Announce(h.GetUnit(), 1)
	r, ok := w.server.units.get(h.GetUnit())
	if !ok {
		t.Fatal("the broker has forgotten the unit")
	}
	for deadline := time.Now().Add(20 * time.Second); !w.server.units.isReplaced(r); {
		if time.Now().After(deadline) {
			t.Fatal("the broker does not see the other unit")
		}
		<-time.After(time.Millisecond) // nobody is told of it
	}
	_, err := w.client.SignalUnit(w.ctx(), &brokerv1.SignalUnitRequest{Handle: h, Signal: 9})
	wantCode(t, err, codes.NotFound, "no such unit")
	if _, err := w.client.StopUnit(w.ctx(), &brokerv1.StopUnitRequest{Handle: h}); err != nil {
		t.Errorf("the stop of what is gone: %v", err)
	}
	if _, err := w.client.RemoveUnit(w.ctx(), &brokerv1.RemoveUnitRequest{Handle: h}); err != nil {
		t.Errorf("the removal of what is gone: %v", err)
	}
	for _, member := range []string{"KillUnit", "StopUnit", "ResetFailedUnit"} {
		if calls := w.pid1.Calls(member); len(calls) > 0 {
			t.Errorf("PID 1 was asked for %s", member)
		}
	}
	if w.server.units.known(h.GetUnit()) {
		t.Error("the broker still has the unit of the client")
	}
}
