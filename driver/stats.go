// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/client/lib/cpustats"
	"github.com/hashicorp/nomad/plugins/drivers"

	"nomad-systemd-driver/cgroup"
)

// TaskStats implements drivers.DriverPlugin. The figures come from the kernel:
// the broker is not asked, and need not be there.
func (d *Driver) TaskStats(ctx context.Context, id string, interval time.Duration) (<-chan *drivers.TaskResourceUsage, error) {
	t, ok := d.task(id)
	if !ok {
		return nil, drivers.ErrTaskNotFound
	}
	d.mu.Lock()
	m := &meter{log: d.log, cgroups: d.cgroups, compute: d.compute, task: t}
	d.mu.Unlock()
	return d.sampler.open(ctx, t.ended, interval, m.read), nil
}

// meter turns the figures of a task's control group into Nomad's.
type meter struct {
	log     hclog.Logger
	cgroups cgroup.Root
	compute cpustats.Compute
	task    *task

	before *cgroup.Usage // the sample before, which percentages refer to
	failed bool
}

// read takes a sample. There is none while the control group is not known yet,
// nor when it is gone: then the task's end is on its way. A destroyed task has
// nobody left to tell of its end.
func (m *meter) read() (u *drivers.TaskResourceUsage, more bool) {
	if m.task.isDestroyed() || m.task.exit() != nil {
		return nil, false
	}
	group := m.task.group()
	if group == "" {
		return nil, true
	}
	now, err := m.cgroups.Usage(group)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) && !m.failed {
			m.log.Warn("a task has no statistics", "task", m.task.config.ID, "error", err)
			m.failed = true // once, not at each try
		}
		return nil, true
	}
	before := m.before
	m.before = now
	return &drivers.TaskResourceUsage{
		Timestamp: now.At.UnixNano(),
		// Nomad's conversion panics where one of the two is nil. Figures of
		// single processes (Pids) are left out: they would take three more files
		// for each process, and Nomad shows them nowhere.
		ResourceUsage: &drivers.ResourceUsage{CpuStats: cpuStats(before, now, m.compute), MemoryStats: memoryStats(&now.Memory)},
	}, true
}

// cpuStats is the use of processors between two samples. As everywhere in Nomad,
// 100 percent is one processor. The first sample has no percentages.
func cpuStats(before, now *cgroup.Usage, compute cpustats.Compute) *drivers.CpuStats {
	s := new(drivers.CpuStats)
	measured := func(name string, ok bool) {
		if ok {
			s.Measured = append(s.Measured, name)
		}
	}
	if before != nil {
		over := now.At.Sub(before.At)
		var ok bool
		s.SystemMode, ok = percent(before.CPU.System, now.CPU.System, over)
		measured("System Mode", ok)
		s.UserMode, ok = percent(before.CPU.User, now.CPU.User, over)
		measured("User Mode", ok)
		s.Percent, ok = percent(before.CPU.Usage, now.CPU.Usage, over)
		measured("Percent", ok)
		// A tick is a megahertz; without the number of cores there are none.
		if ok && compute.NumCores > 0 {
			s.TotalTicks = s.Percent / 100 * float64(compute.TotalCompute) / float64(compute.NumCores)
			measured("Total Ticks", true)
		}
	}
	s.ThrottledPeriods = now.CPU.Throttled.N
	measured("Throttled Periods", now.CPU.Throttled.OK)
	s.ThrottledTime = nanoseconds(now.CPU.ThrottledTime.N)
	measured("Throttled Time", now.CPU.ThrottledTime.OK)
	return s
}

// percent is how much of the time two counts in microseconds are apart.
func percent(before, now cgroup.Count, over time.Duration) (float64, bool) {
	if !before.OK || !now.OK || over <= 0 {
		return 0, false
	}
	if now.N < before.N { // never, says the kernel
		return 0, true
	}
	return 100 * float64(now.N-before.N) * float64(time.Microsecond) / float64(over), true
}

func nanoseconds(usec uint64) uint64 {
	if usec > math.MaxUint64/1000 {
		return math.MaxUint64
	}
	return usec * 1000
}

func memoryStats(m *cgroup.Memory) *drivers.MemoryStats {
	s := new(drivers.MemoryStats)
	for _, v := range []struct {
		to   *uint64
		from cgroup.Count
		name string
	}{
		{&s.RSS, m.Anon, "RSS"},
		{&s.Cache, m.File, "Cache"},
		{&s.Swap, m.Swap, "Swap"},
		{&s.MappedFile, m.FileMapped, "Mapped File"},
		{&s.Usage, m.Current, "Usage"},
		{&s.MaxUsage, m.Peak, "Max Usage"},
		{&s.KernelUsage, m.Kernel, "Kernel Usage"},
	} {
		if v.from.OK {
			*v.to = v.from.N
			s.Measured = append(s.Measured, v.name)
		}
	}
	return s
}
