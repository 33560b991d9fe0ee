// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"

	"nomad-systemd-driver/cgroup"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

func TestGroupIsGoneBeforeTheTaskEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := statsDriver(t)
		run(t, d, "web")
		run(t, d, "other")
		ch, other := stats(t, d, "web", time.Second), stats(t, d, "other", time.Second)
		<-ch
		if err := os.RemoveAll(filepath.Join(string(d.cgroups), unitOf("web").GetControlGroup())); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			<-other
		}
		select {
		case u, ok := <-ch:
			t.Fatalf("got %+v, %v, want nothing before the task's end", u, ok)
		default:
		}
		u := unitOf("web")
		u.State, u.ControlGroup, u.Exit = brokerv1.UnitState_UNIT_STATE_EXITED, "", &brokerv1.Exit{}
		d.observe(u)
		if u, ok := <-ch; ok {
			t.Errorf("got %+v, want a closed channel", u)
		}
		if u, ok := <-stats(t, d, "web", time.Second); ok {
			t.Errorf("a task that has ended has the statistics %+v, want a closed channel", u)
		}
	})
}

func TestDestroyedTaskHasNoStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := statsDriver(t)
		tk := run(t, d, "web")
		ch := stats(t, d, "web", time.Second)
		<-ch
		tk.destroy()
		if u, ok := <-ch; ok {
			t.Errorf("got %+v, want a closed channel", u)
		}
	})
}

func TestStatsOfAnUnknownTask(t *testing.T) {
	if _, err := statsDriver(t).TaskStats(t.Context(), "other", time.Second); !errors.Is(err, drivers.ErrTaskNotFound) {
		t.Errorf("got %v, want %v", err, drivers.ErrTaskNotFound)
	}
}

// TestStatsAfterRecover begins while the broker is away: the control group
// becomes known when it is back.
func TestStatsAfterRecover(t *testing.T) {
	b, _, h := started(t)
	b.stop()
	const group = "/tasks.slice/web.service"
	b.change(func() {
		for _, u := range b.units {
			u.ControlGroup = group
		}
	})
	d := newDriver(t, b.config())
	d.cgroups = cgroup.Root(t.TempDir())
	run(t, d, "web") // makes the folder
	write(t, d, "web", "pids.current", "3\n")
	if err := d.RecoverTask(h.Copy()); err != nil {
		t.Fatal(err)
	}
	ch := stats(t, d, h.Config.ID, 100*time.Millisecond)
	b.start()
	select {
	case u := <-ch:
		if u == nil || u.ResourceUsage.CpuStats == nil || u.ResourceUsage.MemoryStats == nil {
			t.Errorf("got %+v, want a sample", u)
		}
	case <-time.After(patience):
		t.Fatal("there is no sample")
	}
	// Nobody but the kernel is needed for the next ones.
	b.stop()
	<-ch
	<-ch
	s, err := d.InspectTask(h.Config.ID)
	if err != nil || s.DriverAttributes["pids"] != "3" {
		t.Errorf("got %+v, %v, want 3 pids", s, err)
	}
}

// TestEndedTaskIsNotRead is about a control group that is there a moment longer
// than the task.
func TestEndedTaskIsNotRead(t *testing.T) {
	d := statsDriver(t)
	tk := run(t, d, "web")
	m := &meter{log: d.log, cgroups: d.cgroups, task: tk}
	if u, more := m.read(); u == nil || !more {
		t.Fatalf("got %+v, %v, want a sample", u, more)
	}
	tk.lose()
	if u, more := m.read(); u != nil || more {
		t.Errorf("got %+v, %v, want the end", u, more)
	}
}

// TestControlGroupIsKept is about news of a unit that has none at the moment.
func TestControlGroupIsKept(t *testing.T) {
	d := statsDriver(t)
	tk := run(t, d, "web")
	u := unitOf("web")
	want := u.GetControlGroup()
	u.ControlGroup = ""
	d.observe(u)
	if got := tk.group(); got != want {
		t.Errorf("the control group is %q, want %q", got, want)
	}
}
