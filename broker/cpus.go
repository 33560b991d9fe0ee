// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"nomad-systemd-driver/broker/systemd"
)

const (
	// onlineCPUs is where the kernel lists the CPUs that run, as "0-3".
	onlineCPUs = "/sys/devices/system/cpu/online"
	// cgroupRoot is where the control groups are.
	cgroupRoot = "/sys/fs/cgroup"
)

// cpuPool is what a client's units without CPUs of their own share: all CPUs but
// those that running units of the client have for themselves. What one client
// asks for is nothing to the units of another.
type cpuPool struct {
	online []uint32
	// confined reads the CPUs to which a control group is confined; none if it is
	// not.
	confined func(cgroup string) ([]uint32, error)
	// wake tells that units came or went.
	wake chan struct{}
}

// cpuShare is what a unit was last given out of the pool. What an earlier broker
// gave it is not known.
type cpuShare struct {
	cpus  []uint32
	known bool
}

func newCPUPool() (*cpuPool, error) {
	text, err := os.ReadFile(onlineCPUs)
	if err != nil {
		return nil, fmt.Errorf("cannot read the host's CPUs: %w", err)
	}
	online, err := parseCPUList(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", onlineCPUs, err)
	}
	return &cpuPool{online, confinedCPUs, make(chan struct{}, 1)}, nil
}

// confinedCPUs reads cpuset.cpus, which is not there while no unit beside it has
// CPUs of its own.
func confinedCPUs(cgroup string) ([]uint32, error) {
	text, err := os.ReadFile(filepath.Join(cgroupRoot, cgroup, "cpuset.cpus"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseCPUList(strings.TrimSpace(string(text)))
}

// parseCPUList reads a list of CPUs as cpuset(7) has it, "0-2,5".
func parseCPUList(list string) ([]uint32, error) {
	if list == "" {
		return nil, nil
	}
	var cpus []uint32
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 32)
		to, err2 := strconv.ParseUint(last, 10, 32)
		if err != nil || err2 != nil || from > to || to > maxCPU {
			return nil, fmt.Errorf("cannot read the list of CPUs %q", list)
		}
		for ; from <= to; from++ {
			cpus = append(cpus, uint32(from)) //nolint:gosec // at most maxCPU
		}
	}
	return cpus, nil
}

func formatCPUList(cpus []uint32) string {
	words := make([]string, len(cpus))
	for i, cpu := range cpus {
		words[i] = strconv.FormatUint(uint64(cpu), 10)
	}
	return strings.Join(words, ",")
}

func (p *cpuPool) stir() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// sharedLocked are the CPUs for the client's units without their own; none is
// all of them, also if none is left over.
func (g *registry) sharedLocked(client string) []uint32 {
	own := make(map[uint32]bool)
	for _, r := range g.byUnit {
		if r.client == client && r.live && !over(r.state) {
			for _, cpu := range r.cpus {
				own[cpu] = true
			}
		}
	}
	if len(own) == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(g.pool.online), func(cpu uint32) bool { return own[cpu] })
}

// share is what the unit of r is to start with; none for one with CPUs of its own.
func (g *registry) share(r *record) []uint32 {
	if len(r.cpus) > 0 {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	r.share = cpuShare{g.sharedLocked(r.client), true}
	return r.share.cpus
}

// misplaced is a unit that is to move to other CPUs.
type misplaced struct {
	record *record
	cgroup string
	known  bool // the unit is not there already
	to     []uint32
}

// misplaced are the units without CPUs of their own that have others than such
// units of their client share now, or may have.
func (g *registry) misplaced() []misplaced {
	g.mu.Lock()
	defer g.mu.Unlock()
	shared := make(map[string][]uint32)
	var units []misplaced
	for _, r := range g.byUnit {
		if !r.live || over(r.state) || len(r.cpus) > 0 {
			continue
		}
		to, ok := shared[r.client]
		if !ok {
			to = g.sharedLocked(r.client)
			shared[r.client] = to
		}
		if !r.share.known || !slices.Equal(r.share.cpus, to) {
			units = append(units, misplaced{r, r.status.ControlGroup, r.share.known, to})
		}
	}
	return units
}

// keepCPUs moves units off the CPUs that others have for themselves, and back,
// until ctx ends. Nomad's own agent does so only if it runs as root.
func (s *Server) keepCPUs(ctx context.Context) {
	s.units.pool.stir()
	for {
		select {
		case <-s.units.pool.wake:
		case <-ctx.Done():
			return
		}
		for _, m := range s.units.misplaced() {
			err := s.place(ctx, m)
			if ctx.Err() != nil {
				return
			}
			if err != nil && !errors.Is(err, systemd.ErrNotFound) {
				s.log.Error("cannot move a unit to the CPUs that units share", slog.String("BROKER_UNIT", m.record.unit), slog.Any("error", err))
			}
			// After an error the next change tries again, with all others.
			s.units.mu.Lock()
			m.record.share = cpuShare{m.to, err == nil}
			s.units.mu.Unlock()
		}
	}
}

// place moves a unit, unless it was where it belongs before this broker began.
func (s *Server) place(ctx context.Context, m misplaced) error {
	if !m.known {
		if now, err := s.units.pool.confined(m.cgroup); err == nil && slices.Equal(now, m.to) {
			return nil
		}
	}
	return s.systemd.SetCPUs(ctx, m.record.unit, m.to)
}
