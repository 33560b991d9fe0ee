// SPDX-License-Identifier: MPL-2.0

// Package inspect looks at the broker of this host and at its units from outside,
// for people and their monitoring. It asks PID 1 and the kernel, who know it all:
// the broker needs no interface for it, and it works while the broker is down. It
// changes nothing.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"nomad-systemd-driver/broker"
	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/cgroup"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// Systemd is what this package needs of PID 1; *systemd.Conn provides it.
type Systemd interface {
	List(ctx context.Context, pattern string) ([]string, error)
	Status(ctx context.Context, name string) (systemd.Status, error)
	Properties(ctx context.Context, name string, properties ...systemd.Property) (map[systemd.Property]any, error)
	Version() string
	Features() string
}

// Unit is one unit of a broker's client. What there is no value for is nil.
type Unit struct {
	Name   string `json:"unit"`
	Client string `json:"client"`
	ID     string `json:"id"`
	// SessionOf is the unit beside which this one runs a command (alloc exec).
	SessionOf string            `json:"session_of,omitempty"`
	State     string            `json:"state"` // starting, running, exited
	Rule      string            `json:"rule"`
	Labels    map[string]string `json:"labels"` // without the client's prefix
	UID       *uint32           `json:"uid,omitempty"`
	PID       uint32            `json:"pid,omitempty"`
	Started   *time.Time        `json:"started,omitempty"`
	Exit      *Exit             `json:"exit,omitempty"`
	Usage     *Usage            `json:"usage,omitempty"`

	ControlGroup string `json:"control_group,omitempty"`
}

// Exit is how a program ended.
type Exit struct {
	Code   int32  `json:"code"`
	Signal int32  `json:"signal,omitempty"`
	OOM    bool   `json:"oom_killed,omitempty"`
	Result string `json:"result"` // systemd's word
}

// Usage is what the processes of a unit use together.
type Usage struct {
	At          time.Time `json:"at"`
	CPUSeconds  *float64  `json:"cpu_seconds,omitempty"`
	MemoryBytes *uint64   `json:"memory_bytes,omitempty"`
	Tasks       *uint64   `json:"tasks,omitempty"`
}

// Units are the units of all clients that PID 1 has, by client and name.
func Units(ctx context.Context, sd Systemd, groups cgroup.Root) ([]Unit, error) {
	names, err := sd.List(ctx, "*-*.service")
	if err != nil {
		return nil, err
	}
	units := []Unit{}
	for _, name := range names {
		st, err := sd.Status(ctx, name)
		if errors.Is(err, systemd.ErrNotFound) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, err
		}
		d, ok := broker.Describe(&st)
		if !ok {
			continue // of somebody else
		}
		u := unitOf(d)
		if u.State == running {
			if u.Usage, err = usage(groups, u.ControlGroup); err != nil {
				return nil, err
			}
		}
		units = append(units, u)
	}
	slices.SortFunc(units, func(a, b Unit) int {
		return strings.Compare(a.Client+"\x00"+a.Name, b.Client+"\x00"+b.Name)
	})
	return units, nil
}

const running = "running"

func unitOf(d *broker.Description) Unit {
	u := Unit{
		Name: d.Unit.GetHandle().GetUnit(), Client: d.Client, ID: d.Unit.GetId(), SessionOf: d.SessionOf, Rule: d.Rule,
		State:        strings.ToLower(strings.TrimPrefix(d.Unit.GetState().String(), "UNIT_STATE_")),
		PID:          d.Unit.GetMainPid(),
		Labels:       make(map[string]string, len(d.Unit.GetLabels())),
		ControlGroup: d.Unit.GetControlGroup(),
	}
	for k, v := range d.Unit.GetLabels() {
		_, short, _ := strings.Cut(k, "_")
		u.Labels[short] = v
	}
	if uid := d.Unit.GetUid(); uid != systemd.NoUID {
		u.UID = &uid
	}
	if t := d.Unit.GetStartedAt(); t != nil {
		started := t.AsTime()
		u.Started = &started
	}
	if d.Unit.GetState() == brokerv1.UnitState_UNIT_STATE_EXITED {
		e := d.Unit.GetExit()
		u.Exit = &Exit{Code: e.GetCode(), Signal: e.GetSignal(), OOM: e.GetOomKilled(), Result: e.GetResult()}
	}
	return u
}

// usage is nil for a group that is gone by now.
func usage(groups cgroup.Root, path string) (*Usage, error) {
	used, err := groups.Usage(path)
	var load *cgroup.Load
	if err == nil {
		load, err = groups.Load(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read what a unit uses: %w", err)
	}
	u := &Usage{At: used.At, MemoryBytes: number(used.Memory.Current), Tasks: number(load.Pids)}
	if used.CPU.Usage.OK {
		seconds := float64(used.CPU.Usage.N) / 1e6
		u.CPUSeconds = &seconds
	}
	return u, nil
}

func number(c cgroup.Count) *uint64 {
	if !c.OK {
		return nil
	}
	return &c.N
}
