// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"strings"
	"testing"
	"time"

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

func TestOrphanIsRemovedAfterItsGrace(t *testing.T) {
	b, d := withOrphan(t, Orphans{Period: "1s", Grace: "2s"})
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
	b, d := withOrphan(t, Orphans{DryRun: true, Period: "1s", Grace: "1s"})
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
	c.Orphans = Orphans{Period: "1s", Grace: "2s"}
	d := newDriver(t, c)
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

func TestOrphansConfig(t *testing.T) {
	for _, tt := range []struct {
		in   Orphans
		want string
	}{
		{Orphans{}, ""},
		{Orphans{Period: "1m", Grace: "1h"}, ""},
		{Orphans{Period: "x"}, `orphans.period: "x" is not a time`},
		{Orphans{Grace: "10ms"}, `orphans.grace: "10ms" is not a time of at least a second`},
	} {
		if err := tt.in.parse(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %q", tt.in, err, tt.want)
		}
	}
}
