// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/nomad/client/lib/cpustats"
	"github.com/hashicorp/nomad/client/lib/numalib"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"

	"nomad-systemd-driver/cgroup"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// unitOf is what a broker says of the unit of a task with this name.
func unitOf(name string) *brokerv1.Unit {
	return &brokerv1.Unit{
		Id: name, Handle: &brokerv1.Handle{Unit: name + ".service", InvocationId: name},
		State: brokerv1.UnitState_UNIT_STATE_RUNNING, ControlGroup: "/tasks.slice/" + name + ".service",
	}
}

// run adds a task that runs in a control group of its own.
func run(t *testing.T, d *Driver, name string) *task {
	t.Helper()
	u := unitOf(name)
	if err := os.MkdirAll(filepath.Join(string(d.cgroups), u.GetControlGroup()), 0o700); err != nil {
		t.Fatal(err)
	}
	tk := d.add(newTask(&drivers.TaskConfig{ID: name, Name: name}, u.GetHandle(), time.Now()))
	d.observe(u)
	return tk
}

// write is the kernel writing a file of a task's control group.
func write(t *testing.T, d *Driver, name, file, text string) {
	t.Helper()
	path := filepath.Join(string(d.cgroups), unitOf(name).GetControlGroup(), file)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func cpuTime(usage, user, system int) string {
	return fmt.Sprintf("usage_usec %d\nuser_usec %d\nsystem_usec %d\n", usage, user, system)
}

// statsDriver is a driver without a broker, which statistics do not need.
func statsDriver(t *testing.T) *Driver {
	t.Helper()
	d := New(t.Context(), testLogger(t))
	d.cgroups = cgroup.Root(t.TempDir())
	d.compute = cpustats.Compute{TotalCompute: 8000, NumCores: 4}
	return d
}

func stats(t *testing.T, d *Driver, name string, interval time.Duration) <-chan *drivers.TaskResourceUsage {
	t.Helper()
	ch, err := d.TaskStats(t.Context(), name, interval)
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

func TestFiguresOfTwoSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := statsDriver(t)
		run(t, d, "web")
		write(t, d, "web", "cpu.stat", cpuTime(7_000_000, 5_000_000, 2_000_000)+"nr_periods 9\nnr_throttled 2\nthrottled_usec 1500\n")
		ch := stats(t, d, "web", 2*time.Second)
		first := <-ch
		if cpu := first.ResourceUsage.CpuStats; cpu.Percent != 0 || cpu.TotalTicks != 0 || !slices.Equal(cpu.Measured, []string{"Throttled Periods", "Throttled Time"}) {
			t.Errorf("the first sample is %+v, want no percentages", cpu)
		}
		write(t, d, "web", "cpu.stat", cpuTime(10_000_000, 7_000_000, 3_000_000)+"nr_periods 19\nnr_throttled 4\nthrottled_usec 2500\n")
		second := <-ch
		if apart := time.Duration(second.Timestamp - first.Timestamp); apart != 2*time.Second || second.Timestamp != time.Now().UnixNano() {
			t.Errorf("the samples are %s apart, want 2s", apart)
		}
		cpu := second.ResourceUsage.CpuStats
		got := [...]float64{cpu.Percent, cpu.UserMode, cpu.SystemMode, cpu.TotalTicks, float64(cpu.ThrottledPeriods), float64(cpu.ThrottledTime)}
		if want := [...]float64{150, 100, 50, 3000, 4, 2_500_000}; got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		want := []string{"System Mode", "User Mode", "Percent", "Total Ticks", "Throttled Periods", "Throttled Time"}
		if !slices.Equal(cpu.Measured, want) {
			t.Errorf("measured are %q, want %q", cpu.Measured, want)
		}
	})
}

func TestMemoryFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := statsDriver(t)
		d.cgroups = "../cgroup/testdata"
		u := unitOf("web")
		u.ControlGroup = "/full"
		d.add(newTask(&drivers.TaskConfig{ID: "web"}, u.GetHandle(), time.Now())).observe(u)
		m := (<-stats(t, d, "web", time.Second)).ResourceUsage.MemoryStats
		got := [...]uint64{m.RSS, m.Cache, m.Swap, m.MappedFile, m.Usage, m.MaxUsage, m.KernelUsage, m.KernelMaxUsage}
		if want := [...]uint64{21315584, 17555456, 1277952, 8921088, 43106304, 61865984, 3821568, 0}; got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		want := []string{"RSS", "Cache", "Swap", "Mapped File", "Usage", "Max Usage", "Kernel Usage"}
		if !slices.Equal(m.Measured, want) {
			t.Errorf("measured are %q, want %q", m.Measured, want)
		}
	})
}

// TestFiguresThatAreNotThere is about Nomad's own conversion, which panics where
// it is given less than it expects.
func TestFiguresThatAreNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := statsDriver(t)
		d.compute = cpustats.Compute{}
		run(t, d, "web")
		ch := stats(t, d, "web", time.Second)
		for range 2 {
			pb, err := drivers.TaskStatsToProto(<-ch)
			if err != nil {
				t.Fatal(err)
			}
			u, err := drivers.TaskStatsFromProto(pb)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(u.ResourceUsage.CpuStats.Measured) + len(u.ResourceUsage.MemoryStats.Measured); n != 0 {
				t.Errorf("%+v has %d measured fields of no file", u.ResourceUsage, n)
			}
		}
		// Without the number of cores ticks would be infinite.
		write(t, d, "web", "cpu.stat", cpuTime(1, 1, 0))
		<-ch
		write(t, d, "web", "cpu.stat", cpuTime(500_001, 500_001, 0))
		cpu := (<-ch).ResourceUsage.CpuStats
		if cpu.Percent != 50 || cpu.TotalTicks != 0 || slices.Contains(cpu.Measured, "Total Ticks") {
			t.Errorf("got %+v, want 50 percent and no ticks", cpu)
		}
	})
}

func TestCountsThatStepBackAreNoUse(t *testing.T) {
	if p, ok := percent(cgroup.Count{N: 5, OK: true}, cgroup.Count{N: 4, OK: true}, time.Second); p != 0 || !ok {
		t.Errorf("got %v, %v, want 0", p, ok)
	}
	if p, ok := percent(cgroup.Count{OK: true}, cgroup.Count{N: 4, OK: true}, 0); p != 0 || ok {
		t.Errorf("got %v, %v of no time, want nothing", p, ok)
	}
}

func TestComputeOfTheNode(t *testing.T) {
	d := statsDriver(t)
	topology := &numalib.Topology{OverrideTotalCompute: 5000, Cores: make([]numalib.Core, 2)}
	for _, tt := range []struct {
		agent *base.AgentConfig
		want  cpustats.Compute
	}{
		{&base.AgentConfig{Driver: &base.ClientDriverConfig{Topology: topology}}, cpustats.Compute{TotalCompute: 5000, NumCores: 2}},
		{&base.AgentConfig{Driver: &base.ClientDriverConfig{}}, cpustats.Compute{}},
		{nil, cpustats.Compute{}},
	} {
		if err := d.SetConfig(&base.Config{AgentConfig: tt.agent}); err != nil || d.compute != tt.want {
			t.Errorf("%+v: got %+v, %v, want %+v", tt.agent, d.compute, err, tt.want)
		}
	}
}

// BenchmarkSample is what one task costs at each interval.
func BenchmarkSample(b *testing.B) {
	u := unitOf("web")
	u.ControlGroup = "/full"
	tk := newTask(&drivers.TaskConfig{ID: "web"}, u.GetHandle(), time.Now())
	tk.observe(u)
	m := &meter{cgroups: "../cgroup/testdata", compute: cpustats.Compute{TotalCompute: 8000, NumCores: 4}, task: tk}
	b.ReportAllocs()
	for b.Loop() {
		if u, more := m.read(); u == nil || !more {
			b.Fatal("there is no sample")
		}
	}
}
