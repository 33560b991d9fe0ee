// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"slices"
	"testing"

	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/drivers"
)

func nomadResources(memory, limit int64, shares int64, cpus string) *drivers.Resources {
	return &drivers.Resources{
		NomadResources: &structs.AllocatedTaskResources{Memory: structs.AllocatedMemoryResources{MemoryMB: memory, MemoryMaxMB: limit}},
		LinuxResources: &drivers.LinuxResources{CPUShares: shares, CpusetCpus: cpus},
	}
}

func TestResources(t *testing.T) {
	tests := []struct {
		name       string
		from       *drivers.Resources
		low, limit uint64 // MiB
		unlimited  bool
		weight     uint64
		cpus       []uint32
	}{
		{"memory alone is the limit", nomadResources(64, 0, 100, ""), 64, 64, false, 4, nil},
		{"memory_max is the limit", nomadResources(64, 128, 500, ""), 64, 128, false, 19, nil},
		{"memory_max below memory is not", nomadResources(64, 32, 2, ""), 64, 64, false, 1, nil},
		{"memory_max = -1 lifts the limit", nomadResources(64, -1, 262144, ""), 64, 0, true, 10000, nil},
		{"cores are CPUs", nomadResources(64, 0, 1000, "1,3-4"), 64, 64, false, 39, []uint32{1, 3, 4}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := resources(tt.from)
			if err != nil {
				t.Fatal(err)
			}
			if r.GetMemoryLowBytes() != tt.low<<20 || r.GetMemoryMaxBytes() != tt.limit<<20 || r.GetMemoryUnlimited() != tt.unlimited {
				t.Errorf("memory: got %v", r)
			}
			if r.GetCpuWeight() != tt.weight || !slices.Equal(r.GetCpus(), tt.cpus) {
				t.Errorf("cpu: got weight %d, cpus %v; want %d, %v", r.GetCpuWeight(), r.GetCpus(), tt.weight, tt.cpus)
			}
		})
	}
}

func TestParseCPUsRefuses(t *testing.T) {
	for _, list := range []string{"x", "1-", "-1", "3-1", "1,,2", "99999", "1-99999"} {
		if got, err := parseCPUs(list); err == nil {
			t.Errorf("%q became %v", list, got)
		}
	}
}

func FuzzParseCPUs(f *testing.F) {
	for _, s := range []string{"", "0", "0-2,5", "8191", "1-1", " 1 - 2 "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		cpus, err := parseCPUs(list)
		if err == nil && len(list) < 32 && len(cpus) > 8192*len(list) {
			t.Errorf("%q became %d CPUs", list, len(cpus))
		}
	})
}

func TestSignalNumber(t *testing.T) {
	tests := []struct {
		name string
		want uint32
		ok   bool
	}{
		{"", 15, true},
		{"SIGTERM", 15, true},
		{"term", 15, true},
		{"SIGUSR1", 10, true},
		{"hup", 1, true},
		{"9", 9, true},
		{"64", 64, true},
		{"0", 0, false},
		{"65", 0, false},
		{"-1", 0, false},
		{"SIGNONE", 0, false},
		{" ", 0, false},
	}
	for _, tt := range tests {
		if got, err := signalNumber(tt.name); got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%q gives %d, %v", tt.name, got, err)
		}
	}
}
