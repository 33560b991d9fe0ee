// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/nomad/structs"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// withOrphan is a driver whose broker has a unit that no task knows.
func withOrphan(t *testing.T, o Orphans) (*fakeBroker, *Driver) {
	t.Helper()
	b := newFakeBroker(t)
	b.units["nomad-lost.service"] = &brokerv1.Unit{
		Id: "lost", State: brokerv1.UnitState_UNIT_STATE_RUNNING,
		Labels: map[string]string{"NOMAD_ALLOC_ID": "alloc", "NOMAD_TASK_NAME": "web"},
		Handle: &brokerv1.Handle{Unit: "nomad-lost.service", InvocationId: strings.Repeat("ab", 16)},
	}
	b.start()
	c := b.config()
	c.Orphans = o
	return b, newDriver(t, c)
}

// setGrace makes the grace shorter than a configuration can.
func setGrace(d *Driver, grace time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.config.Orphans.grace = grace
}

func TestOrphanIsRemovedAfterItsGrace(t *testing.T) {
	b, d := withOrphan(t, Orphans{Period: "1s"})
	setGrace(d, 2*time.Second)
	events, err := d.TaskEvents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = d.StartTask(newTaskConfig(t, TaskConfig{Command: "/usr/bin/true"})); err != nil {
		t.Fatal(err)
	}
	b.await("ListUnits", 1)
	from := time.Now()
	b.await("RemoveUnit", 1)
	if took := time.Since(from); took < 1900*time.Millisecond {
		t.Errorf("it was removed %s after it was seen, before its grace was over", took)
	}
	select {
	case e := <-events:
		if e.AllocID != "alloc" || e.TaskName != "web" || !strings.Contains(e.Message, "nomad-lost.service belonged to no task") {
			t.Errorf("got %+v", e)
		}
	case <-time.After(patience):
		t.Error("no event tells of it")
	}
	if n := len(b.units); n != 1 {
		t.Errorf("%d units are left, want that of the task", n)
	}
}

func TestOrphanOfADryRunStays(t *testing.T) {
	b, d := withOrphan(t, Orphans{DryRun: true, Period: "1s"})
	setGrace(d, time.Second)
	events, err := d.TaskEvents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.connection(); err != nil {
		t.Fatal(err)
	}
	select {
	case e := <-events:
		if !strings.Contains(e.Message, "it stays, as orphans.dry_run is set") {
			t.Errorf("got %+v", e)
		}
	case <-time.After(patience):
		t.Fatal("no event tells of it")
	}
	if n := b.count("RemoveUnit"); n != 0 {
		t.Errorf("%d units were removed", n)
	}
}

// TestTaskThatIsRecoveredIsNoOrphan is about an agent that takes its time.
func TestTaskThatIsRecoveredIsNoOrphan(t *testing.T) {
	b, _, h := started(t)
	c := b.config()
	c.Orphans = Orphans{Period: "1s"}
	d := newDriver(t, c)
	setGrace(d, 2*time.Second)
	if _, err := d.connection(); err != nil {
		t.Fatal(err)
	}
	b.await("ListUnits", 1)
	if err := d.RecoverTask(h.Copy()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	ch, err := d.WaitTask(ctx, h.Config.ID)
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := <-ch; ok || b.count("RemoveUnit") != 0 {
		t.Errorf("the task ended with %+v, and %d units were removed", r, b.count("RemoveUnit"))
	}
}

// TestUnitOfADestroyedTaskIsRemovedLater: Nomad does not ask twice.
func TestUnitOfADestroyedTaskIsRemovedLater(t *testing.T) {
	b := newFakeBroker(t)
	b.start()
	c := b.config()
	c.Orphans = Orphans{DryRun: true, Period: "1s"}
	d := newDriver(t, c)
	h, _, err := d.StartTask(newTaskConfig(t, TaskConfig{Command: "/usr/bin/true"}))
	if err != nil {
		t.Fatal(err)
	}
	b.end(0)
	result(t, d, h.Config.ID)
	b.change(func() { b.removeErr = status.Error(codes.Internal, "a process hangs") })
	if err := d.DestroyTask(h.Config.ID, false); err == nil || !strings.Contains(err.Error(), "it is tried again later") {
		t.Errorf("got %v", err)
	}
	b.await("RemoveUnit", 2)
	for deadline := time.After(patience); ; {
		if _, ok := d.task(h.Config.ID); !ok {
			break
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatal("the task is not forgotten")
		}
	}
}

// TestUnitOfATaskThatStartsIsNoOrphan: the broker has it before the driver knows.
func TestUnitOfATaskThatStartsIsNoOrphan(t *testing.T) {
	b := newFakeBroker(t)
	b.startHeld = make(chan struct{})
	b.start()
	c := b.config()
	c.Orphans = Orphans{Period: "1s"}
	d := newDriver(t, c)
	setGrace(d, 0)
	done := make(chan error)
	config := newTaskConfig(t, TaskConfig{Command: "/usr/bin/true"})
	go func() {
		_, _, err := d.StartTask(config)
		done <- err
	}()
	b.await("ListUnits", 3)
	close(b.startHeld)
	if err := <-done; err != nil || b.count("RemoveUnit") != 0 {
		t.Errorf("got %v, and %d units were removed", err, b.count("RemoveUnit"))
	}
}

// TestTaskWhoseUnitIsBeingRemovedIsNotTakenOver: it would end at once, without
// a reason that anybody could understand.
func TestTaskWhoseUnitIsBeingRemovedIsNotTakenOver(t *testing.T) {
	b, _, h := started(t)
	b.change(func() { b.removeHeld = make(chan struct{}) })
	c := b.config()
	c.Orphans = Orphans{Period: "1s"}
	d := newDriver(t, c)
	setGrace(d, 0)
	if _, err := d.connection(); err != nil {
		t.Fatal(err)
	}
	b.await("RemoveUnit", 1)
	if err := d.RecoverTask(h.Copy()); err == nil || !strings.Contains(err.Error(), "is being removed") {
		t.Errorf("recovery gave %v", err)
	}
	_, _, err := d.StartTask(h.Config.Copy())
	if err == nil || !strings.Contains(err.Error(), "is being removed") || !structs.IsRecoverable(err) {
		t.Errorf("a start gave %v", err)
	}
	close(b.removeHeld)
	for deadline := time.After(patience); ; {
		if _, _, err = d.StartTask(h.Config.Copy()); err == nil {
			break
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatalf("a start after the removal gave %v", err)
		}
	}
}

func TestOrphansConfig(t *testing.T) {
	for _, tt := range []struct {
		in   Orphans
		want string
	}{
		{Orphans{}, ""},
		{Orphans{Period: "1m", Grace: "1h"}, ""},
		{Orphans{Period: "x"}, `orphans.period: "x" is not a time`},
		{Orphans{Period: "10ms"}, `orphans.period: "10ms" is not a time of at least 1s`},
		{Orphans{Grace: "4s"}, `orphans.grace: "4s" is not a time of at least 5s`},
	} {
		if err := tt.in.parse(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %q", tt.in, err, tt.want)
		}
	}
}
