// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/drivers"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// started is a driver with one task that runs.
func started(t *testing.T) (*fakeBroker, *Driver, *drivers.TaskHandle) {
	t.Helper()
	b := newFakeBroker(t)
	b.start()
	d := newDriver(t, b.config())
	h, _, err := d.StartTask(newTaskConfig(t, TaskConfig{Command: "/usr/bin/true"}))
	if err != nil {
		t.Fatal(err)
	}
	return b, d, h
}

// TestStopThatTheBrokerPutsOffIsAskedForInPeace is about a broker that answers,
// and has no connection to systemd.
func TestStopThatTheBrokerPutsOffIsAskedForInPeace(t *testing.T) {
	b, d, h := started(t)
	b.change(func() { b.stopErr = status.Error(codes.Unavailable, "not now") })
	stopped := make(chan error, 1)
	go func() { stopped <- d.StopTask(h.Config.ID, time.Minute, "SIGTERM") }()
	b.await("StopUnit", 3)
	<-time.After(500 * time.Millisecond)
	if n := b.count("StopUnit"); n > 20 {
		t.Errorf("it was asked %d times within a second", n)
	}
	b.change(func() { b.stopErr = nil })
	b.end(0)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestStartingTwiceIsStartingOnce(t *testing.T) {
	b, d, h := started(t)
	again, _, err := d.StartTask(h.Config)
	if err != nil {
		t.Fatal(err)
	}
	if string(again.DriverState) != string(h.DriverState) {
		t.Error("the second start has another handle")
	}
	if n := b.count("StartUnit"); n != 1 {
		t.Errorf("the broker was asked %d times, want once", n)
	}
}

func TestWaitOutlivesTheBroker(t *testing.T) {
	b, d, h := started(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ch, err := d.WaitTask(ctx, h.Config.ID)
	if err != nil {
		t.Fatal(err)
	}
	b.stop()
	awaitHealth(t, d, drivers.HealthStateUnhealthy)
	select {
	case r := <-ch:
		t.Fatalf("the task ended with the broker: %+v", r)
	default:
	}
	b.end(7) // while nobody can tell
	b.start()
	select {
	case r := <-ch:
		if r.ExitCode != 7 || r.Err != nil {
			t.Errorf("the task ended with %+v, want exit code 7", r)
		}
	case <-time.After(patience):
		t.Fatal("the task's end did not come through")
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	_, d, h := started(t)
	ctx, cancel := context.WithCancel(t.Context())
	ch, err := d.WaitTask(ctx, h.Config.ID)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if r, ok := <-ch; ok {
		t.Errorf("got %+v, want a closed channel", r)
	}
}

func TestUnitThatIsGoneIsALostTask(t *testing.T) {
	b, d, h := started(t)
	b.stop()
	b.change(func() { clear(b.units) })
	b.start()
	r := result(t, d, h.Config.ID)
	if r.Err == nil || !strings.Contains(r.Err.Error(), "is gone") {
		t.Errorf("the task ended with %+v, want an error that its unit is gone", r)
	}
}

// TestAnotherRunOfTheUnitIsNotTheTask guards against a unit of the same name
// with another invocation, whose exit status is not the task's.
func TestAnotherRunOfTheUnitIsNotTheTask(t *testing.T) {
	b, d, h := started(t)
	b.change(func() {
		for _, u := range b.units {
			u.Handle.InvocationId = "ffffffffffffffffffffffffffffffff"
		}
	})
	b.end(3)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	ch, err := d.WaitTask(ctx, h.Config.ID)
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := <-ch; ok {
		t.Errorf("the task took over the end of another run: %+v", r)
	}
}

func TestRecoverWithoutTheBroker(t *testing.T) {
	b, _, h := started(t)
	b.stop()
	d := newDriver(t, b.config())
	if err := d.RecoverTask(h.Copy()); err != nil {
		t.Fatalf("a task must not be given up while the broker is away: %v", err)
	}
	if err := d.RecoverTask(h.Copy()); err != nil {
		t.Fatalf("to recover twice: %v", err)
	}
	b.start()
	b.end(9)
	if r := result(t, d, h.Config.ID); r.ExitCode != 9 {
		t.Errorf("the task ended with %+v, want exit code 9", r)
	}
	s, err := d.InspectTask(h.Config.ID)
	if err != nil || s.State != drivers.TaskStateExited || s.CompletedAt.IsZero() || s.StartedAt.IsZero() {
		t.Errorf("the task is %+v, %v, want exited, with both times", s, err)
	}
}

func TestRecoverAfterTheEnd(t *testing.T) {
	b, _, h := started(t)
	b.end(5)
	d := newDriver(t, b.config())
	if err := d.RecoverTask(h.Copy()); err != nil {
		t.Fatal(err)
	}
	if r := result(t, d, h.Config.ID); r.ExitCode != 5 {
		t.Errorf("the task ended with %+v, want exit code 5", r)
	}
}

func TestRecoverRefusesAHandleItDoesNotKnow(t *testing.T) {
	_, d, h := started(t)
	h = h.Copy()
	h.Config.ID, h.Version = "other", handleVersion+1
	if err := d.RecoverTask(h); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("got %v, want an error about the version", err)
	}
	if err := d.RecoverTask(nil); err == nil {
		t.Error("got nil for no handle")
	}
}

func TestDestroyWhileTheBrokerIsAway(t *testing.T) {
	b, d, h := started(t)
	b.end(0)
	result(t, d, h.Config.ID)
	b.stop()
	awaitHealth(t, d, drivers.HealthStateUnhealthy)
	if err := d.DestroyTask(h.Config.ID, false); err == nil {
		t.Error("got nil though nothing was removed")
	}
	b.start()
	b.await("RemoveUnit", 1)
}

func TestDestroy(t *testing.T) {
	b, d, h := started(t)
	if err := d.DestroyTask(h.Config.ID, false); err == nil || b.count("RemoveUnit") != 0 {
		t.Fatalf("a task that runs was destroyed without force: %v", err)
	}
	if err := d.DestroyTask(h.Config.ID, true); err != nil {
		t.Fatal(err)
	}
	if err := d.DestroyTask(h.Config.ID, true); err != nil {
		t.Errorf("to destroy twice: %v", err)
	}
	if _, err := d.InspectTask(h.Config.ID); !errors.Is(err, drivers.ErrTaskNotFound) {
		t.Errorf("the task is still known: %v", err)
	}
	if n := b.count("RemoveUnit"); n != 1 {
		t.Errorf("the unit was removed %d times, want once", n)
	}
}

func TestStopGoesOnWhenTheBrokerIsRestarted(t *testing.T) {
	b, d, h := started(t)
	stopped := make(chan error, 1)
	go func() { stopped <- d.StopTask(h.Config.ID, time.Minute, "SIGTERM") }()
	b.await("StopUnit", 1)
	b.stop()
	b.start()
	b.await("StopUnit", 2)
	b.end(0)
	select {
	case err := <-stopped:
		if err != nil {
			t.Errorf("the stop failed: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the stop did not end")
	}
}

func TestUnknownTasks(t *testing.T) {
	_, d, _ := started(t)
	if _, err := d.WaitTask(t.Context(), "other"); !errors.Is(err, drivers.ErrTaskNotFound) {
		t.Errorf("WaitTask: %v", err)
	}
	if err := d.StopTask("other", 0, ""); err != nil {
		t.Errorf("StopTask: %v", err)
	}
	if err := d.SignalTask("other", "SIGHUP"); !errors.Is(err, drivers.ErrTaskNotFound) {
		t.Errorf("SignalTask: %v", err)
	}
	if err := d.DestroyTask("other", true); err != nil {
		t.Errorf("DestroyTask: %v", err)
	}
}

// TestStartErrors is about which errors Nomad may try again after: an answer
// that is no does not change by asking again.
func TestStartErrors(t *testing.T) {
	denied, err := status.New(codes.PermissionDenied, "no").WithDetails(
		&brokerv1.Denial{Subject: "user", Value: "root", Reason: "none can", RequestId: "abc"})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name        string
		err         error
		recoverable bool
		want        string
	}{
		{"denied", denied.Err(), false, `user "root" is refused by the policy of systemd-brokerd: none can (an operator of this node sees the decision with: journalctl -x BROKER_REQUEST_ID=abc; and what each rule says with: systemd-brokerd policy explain <(journalctl -o json BROKER_REQUEST_ID=abc))`},
		{"cannot be executed", status.Error(codes.FailedPrecondition, "no such file"), false, "no such file"},
		{"malformed", status.Error(codes.InvalidArgument, "bad"), false, "bad"},
		{"a quota", status.Error(codes.ResourceExhausted, "max_units"), true, "max_units"},
		{"PID 1 is away", status.Error(codes.Unavailable, "away"), true, "away"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFakeBroker(t)
			b.startErr = tt.err
			b.start()
			d := newDriver(t, b.config())
			_, _, err := d.StartTask(newTaskConfig(t, TaskConfig{Command: "/usr/bin/true"}))
			if err == nil || !strings.Contains(err.Error(), tt.want) || structs.IsRecoverable(err) != tt.recoverable {
				t.Errorf("got %v (recoverable: %v), want %q (%v)", err, structs.IsRecoverable(err), tt.want, tt.recoverable)
			}
		})
	}
}

// TestStartWaitsForTheBroker is about an upgrade of the broker: an error would
// cost the task one of its restarts.
func TestStartWaitsForTheBroker(t *testing.T) {
	b := newFakeBroker(t)
	d := newDriver(t, b.config())
	awaitHealth(t, d, drivers.HealthStateUndetected)
	b.start()
	if _, _, err := d.StartTask(newTaskConfig(t, TaskConfig{Command: "/usr/bin/true"})); err != nil {
		t.Fatal(err)
	}
}

func TestStartWithoutTheBrokerCanBeTriedAgain(t *testing.T) {
	d := newDriver(t, newFakeBroker(t).config())
	if _, _, err := d.StartTask(newTaskConfig(t, TaskConfig{Command: "/usr/bin/true"})); !structs.IsRecoverable(err) {
		t.Fatalf("got %v, want an error that Nomad tries again after", err)
	}
}
