// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/nomad/plugins/drivers"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

const mib = 1 << 20

// noLimit is memory_max = -1 in a job (memoryNoLimit in Nomad's structs).
const noLimit = -1

// resources turns a task's resources into limits of its unit: memory is
// protected (MemoryLow=), memory_max or else memory is the limit (MemoryMax=),
// cpu is a weight against other tasks, cores are CPUs of the task's own.
func resources(r *drivers.Resources) (*brokerv1.Resources, error) {
	if r == nil || r.NomadResources == nil || r.LinuxResources == nil {
		return nil, fmt.Errorf("the task has no resources")
	}
	memory := r.NomadResources.Memory.MemoryMB
	res := &brokerv1.Resources{
		CpuWeight:      cpuWeight(r.LinuxResources.CPUShares),
		MemoryLowBytes: uint64(max(memory, 0)) * mib,
	}
	switch limit := r.NomadResources.Memory.MemoryMaxMB; {
	case limit == noLimit:
		res.MemoryUnlimited = true
	default:
		res.MemoryMaxBytes = uint64(max(memory, limit, 1)) * mib
	}
	cpus, err := parseCPUs(r.LinuxResources.CpusetCpus)
	if err != nil {
		return nil, err
	}
	res.Cpus = cpus
	return res, nil
}

// cpuWeight maps CPU shares, which Nomad sets to the task's MHz, to the weight
// of cgroup v2 in the way container runtimes do: 2 to 262144 shares become 1 to
// 10000.
func cpuWeight(shares int64) uint64 {
	shares = min(max(shares, 2), 262144)
	return uint64(1 + (shares-2)*9999/262142)
}

// parseCPUs reads a list of CPUs as the kernel writes it, such as "0-2,5".
func parseCPUs(list string) ([]uint32, error) {
	if list == "" {
		return nil, nil
	}
	var cpus []uint32
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 13)
		to, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 13)
		if err1 != nil || err2 != nil || from > to {
			return nil, fmt.Errorf("cannot read the task's cores %q", list)
		}
		for cpu := from; cpu <= to; cpu++ {
			cpus = append(cpus, uint32(cpu))
		}
	}
	return cpus, nil
}
