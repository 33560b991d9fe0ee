// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"nomad-systemd-driver/cgroup"
)

const (
	readTimeout = 5 * time.Second
	maxAnswer   = 64 << 20
	namespace   = "systemd_brokerd"
)

// source reads the broker anew for each scrape.
type source struct {
	path   string // of the broker's socket
	groups cgroup.Root
	units  bool // show what units use, too
}

// Gather implements prometheus.Gatherer. A broker that does not answer is no error:
// it is down, which systemd_brokerd_up says.
func (s *source) Gather() ([]*dto.MetricFamily, error) {
	families, err := s.ask()
	registry := prometheus.NewPedanticRegistry()
	up := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "up", Help: "1 if the broker answers."})
	if err == nil {
		up.Set(1)
	}
	registry.MustRegister(up)
	if s.units && err == nil {
		registry.MustRegister(&usage{s.groups, families[namespace+"_unit_info"]})
	}
	own, err := registry.Gather()
	all := slices.AppendSeq(own, maps.Values(families))
	slices.SortFunc(all, func(a, b *dto.MetricFamily) int {
		if a.GetName() < b.GetName() {
			return -1
		}
		return 1
	})
	return all, err
}

// ask reads what the broker writes to whoever connects.
func (s *source) ask() (map[string]*dto.MetricFamily, error) {
	conn, err := net.DialTimeout("unix", s.path, readTimeout)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the broker: %w", err)
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	if err := conn.SetDeadline(time.Now().Add(readTimeout)); err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(conn, maxAnswer))
	if err == nil && len(families) == 0 {
		err = fmt.Errorf("the broker at %s said nothing", s.path)
	}
	return families, err
}

// usage collects what the units use that the broker named.
type usage struct {
	groups cgroup.Root
	units  *dto.MetricFamily // may be nil
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "unit", name), help, append([]string{"unit"}, labels...), nil)
}

var (
	cpu       = desc("cpu_seconds_total", "Processor time that the unit used.", "mode")
	throttled = desc("cpu_throttled_seconds_total", "Time that the unit was kept from a processor by its limit.")
	memory    = desc("memory_bytes", "Memory of the unit, caches included.")
	peak      = desc("memory_peak_bytes", "The most memory that the unit had.")
	swap      = desc("memory_swap_bytes", "Memory of the unit that is swapped out.")
	pids      = desc("tasks", "Processes and threads of the unit.")
	ioBytes   = desc("io_bytes_total", "Bytes that the unit read from and wrote to disks.", "direction")
	ioOps     = desc("io_operations_total", "Reads and writes of the unit on disks.", "direction")
	pressure  = desc("pressure_seconds_total", "Time that some or all of the unit waited for a resource.", "resource", "kind")
)

// Describe implements prometheus.Collector.
func (u *usage) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{cpu, throttled, memory, peak, swap, pids, ioBytes, ioOps, pressure} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. A unit that is gone meanwhile has nothing.
func (u *usage) Collect(ch chan<- prometheus.Metric) {
	for _, m := range u.units.GetMetric() {
		unit, group := label(m, "unit"), label(m, "control_group")
		if unit == "" || group == "" {
			continue
		}
		send := func(d *prometheus.Desc, kind prometheus.ValueType, unitOfValue float64, c cgroup.Count, labels ...string) {
			if c.OK {
				ch <- prometheus.MustNewConstMetric(d, kind, float64(c.N)*unitOfValue, append([]string{unit}, labels...)...)
			}
		}
		const micro = 1e-6
		if used, err := u.groups.Usage(group); err == nil {
			send(cpu, prometheus.CounterValue, micro, used.CPU.User, "user")
			send(cpu, prometheus.CounterValue, micro, used.CPU.System, "system")
			send(throttled, prometheus.CounterValue, micro, used.CPU.ThrottledTime)
			send(memory, prometheus.GaugeValue, 1, used.Memory.Current)
			send(peak, prometheus.GaugeValue, 1, used.Memory.Peak)
			send(swap, prometheus.GaugeValue, 1, used.Memory.Swap)
		}
		load, err := u.groups.Load(group)
		if err != nil {
			continue
		}
		send(pids, prometheus.GaugeValue, 1, load.Pids)
		send(ioBytes, prometheus.CounterValue, 1, load.IO.ReadBytes, "read")
		send(ioBytes, prometheus.CounterValue, 1, load.IO.WriteBytes, "write")
		send(ioOps, prometheus.CounterValue, 1, load.IO.ReadOps, "read")
		send(ioOps, prometheus.CounterValue, 1, load.IO.WriteOps, "write")
		for name, p := range map[string]cgroup.Pressure{"cpu": load.CPUStall, "memory": load.MemoryStall, "io": load.IOStall} {
			send(pressure, prometheus.CounterValue, micro, cgroup.Count{N: p.Some.Total, OK: p.Some.OK}, name, "some")
			send(pressure, prometheus.CounterValue, micro, cgroup.Count{N: p.Full.Total, OK: p.Full.OK}, name, "full")
		}
	}
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
