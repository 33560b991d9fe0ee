// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"nomad-systemd-driver/broker/systemd/fakepid1"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// addSession makes a session that an earlier broker left.
func (w *world) addSession(name string) {
	w.pid1.Add(name, map[string]any{"LogExtraFields": [][]byte{
		[]byte("BROKER_CLIENT=nomad"), []byte("BROKER_UNIT_ID=" + name), []byte("BROKER_SESSION_OF=nomad-x.service"),
	}})
}

func TestServerThatEndsBeginsNoSession(t *testing.T) {
	w := newWorld(t)
	req := w.session(w.start("a/1"))
	w.server.close()
	err := w.exec(w.ctx(), req)
	wantCode(t, err, codes.Unavailable, "the broker is stopping")
	if n := len(w.pid1.Calls("StartTransientUnit")); n != 1 {
		t.Errorf("PID 1 was asked to start %d units, want the first alone", n)
	}
}

// TestServerThatEndsSendsNoSignal: the client asks the next broker, and a second
// signal makes many programs end at once.
func TestServerThatEndsSendsNoSignal(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	w.server.close()
	_, err := w.client.StopUnit(w.ctx(), &brokerv1.StopUnitRequest{Handle: u.GetHandle(), GracePeriod: durationpb.New(time.Minute)})
	wantCode(t, err, codes.Unavailable, "the broker is stopping")
	if calls := w.pid1.Calls("KillUnit"); len(calls) != 0 {
		t.Errorf("PID 1 was sent %v", calls)
	}
}

func TestServerThatEndsLeavesUnitsToTheNext(t *testing.T) {
	w := newWorld(t)
	w.server.close()
	w.addSession("nomad-web-0123.service")
	if adopted, err := w.server.adopt(w.ctx()); !errors.Is(err, errStopping) {
		t.Errorf("got %v, %v", adopted, err)
	}
	if w.server.units.known("nomad-web-0123.service") {
		t.Error("it took the unit over")
	}
}

// TestServerEndsAlthoughPID1IsAway: what it cannot read back it leaves.
func TestServerEndsAlthoughPID1IsAway(t *testing.T) {
	w := newWorld(t)
	w.pid1.Fail("ListUnitsByPatterns", fakepid1.NoReply)
	w.pid1.Disconnect()
	if err := w.pid1.AwaitCalls(w.ctx(), "ListUnitsByPatterns", 3); err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	w.stop()
	if took := time.Since(from); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestUnitsThatCannotBeReadBackInTimeAreAnError: clients would take the rest for
// lost and start it again.
func TestUnitsThatCannotBeReadBackInTimeAreAnError(t *testing.T) {
	w := newWorld(t)
	w.addSession("nomad-web-0123.service")
	w.pid1.Fail("GetAll", fakepid1.NoReply)
	ctx, cancel := context.WithTimeout(w.ctx(), 200*time.Millisecond)
	defer cancel()
	if adopted, err := w.server.adopt(ctx); err == nil {
		t.Errorf("got %v and no error", adopted)
	}
}
