// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/systemd/fakepid1"
	"nomad-systemd-driver/broker/systemd/unitpath"
)

func watchNomad(unit string) bool { return strings.HasPrefix(unit, "nomad-") }

func TestNextNamesWhatChanged(t *testing.T) {
	tests := []struct {
		name   string
		change func(*fakepid1.Server)
	}{
		{"the program ends", func(s *fakepid1.Server) { s.Exit(testUnit, 3) }},
		{"the unit vanishes", func(s *fakepid1.Server) { s.Remove(testUnit) }},
		{"a property changes", func(s *fakepid1.Server) { s.Set(testUnit, map[string]any{"MainPID": uint32(7)}) }},
		{"only the removal is announced", func(s *fakepid1.Server) {
			s.Emit("", managerPath, managerInterface, "UnitRemoved", testUnit, unitpath.Of(testUnit))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pid1 := fakepid1.New(t)
			pid1.Add(testUnit, nil)
			c := dialFake(t, pid1, watchNomad)
			pid1.Announce("other.service", 3)
			test.change(pid1)
			changes, err := c.Next(testContext(t))
			if err != nil || changes.Resync || !slices.Equal(changes.Units, []string{testUnit}) {
				t.Errorf("got %+v, %v; want only %s", changes, err, testUnit)
			}
		})
	}
}

func TestAReloadAsksForAResync(t *testing.T) {
	pid1 := fakepid1.New(t)
	c := dialFake(t, pid1, watchNomad)
	pid1.Emit("", managerPath, managerInterface, "Reloading", true)
	pid1.Emit("", managerPath, managerInterface, "Reloading", false)
	if changes, err := c.Next(testContext(t)); err != nil || !changes.Resync {
		t.Errorf("got %+v, %v; want a resync", changes, err)
	}
}

func TestAStormIsOneEntryPerUnit(t *testing.T) {
	const units, signals = 20, 500
	pid1 := fakepid1.New(t)
	c := dialFake(t, pid1, watchNomad)
	var want []string
	for i := range units {
		want = append(want, fmt.Sprintf("nomad-%02d.service", i))
	}
	for range signals / 10 {
		for _, unit := range want {
			pid1.Announce(unit, 10)
		}
		pid1.Announce("noise.service", 10)
	}
	// A reply comes after the signals sent before it: all have been taken in,
	// although nobody called Next.
	if err := c.Health(); err != nil {
		t.Fatal(err)
	}
	if n := len(c.events.dirty); n != units {
		t.Errorf("%d entries are kept, want %d", n, units)
	}
	changes, err := c.Next(testContext(t))
	if err != nil || !slices.Equal(changes.Units, want) {
		t.Errorf("got %v, %v; want %v", changes.Units, err, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if changes, err := c.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %+v, %v after everything was taken; want to wait", changes, err)
	}
}

// Reading a unit that is gone must not itself cause a change: the reader of
// changes would chase his own tail.
func TestReadingAVanishedUnitIsNoChange(t *testing.T) {
	pid1 := fakepid1.New(t)
	c := dialFake(t, pid1, nil)
	if _, err := c.Status(testContext(t), testUnit); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v, want ErrNotFound", err)
	}
	if err := c.Health(); err != nil {
		t.Fatal(err)
	}
	if changes, ok := c.events.take(); ok {
		t.Errorf("got %+v, want no change", changes)
	}
}

func TestASignalOfTheWrongShapeEndsTheLink(t *testing.T) {
	tests := []struct {
		name, member string
		body         []any
	}{
		{"a job result that is a number", "JobRemoved", []any{uint32(1), dbus.ObjectPath("/j"), testUnit, uint32(2)}},
		{"a job without a result", "JobRemoved", []any{uint32(1), dbus.ObjectPath("/j"), testUnit}},
		{"a job path that is a string", "JobRemoved", []any{uint32(1), "/j", testUnit, JobDone}},
		{"a removed unit without a path", "UnitRemoved", []any{testUnit}},
		{"a reload that is a string", "Reloading", []any{"no"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pid1 := fakepid1.New(t)
			c := dialFake(t, pid1, nil)
			c.events.observe(testUnit) // else nobody looks at the end of a job
			pid1.Emit("", managerPath, managerInterface, test.member, test.body...)
			if changes, err := c.Next(testContext(t)); err != nil || !changes.Resync || len(changes.Units) != 0 {
				t.Errorf("got %+v, %v; want a resync over a new link", changes, err)
			}
		})
	}
}

// TestAStartIsNoChange: the caller of a start gets the state that it led to, and
// nobody need read the unit again. What comes after the start is a change.
func TestAStartIsNoChange(t *testing.T) {
	pid1 := fakepid1.New(t)
	c := dialFake(t, pid1, watchNomad)
	if _, err := c.start(testContext(t), testUnit, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Health(); err != nil {
		t.Fatal(err)
	}
	if changes, ok := c.events.take(); ok {
		t.Errorf("got %+v, want no change", changes)
	}
	pid1.Exit(testUnit, 3)
	if changes, err := c.Next(testContext(t)); err != nil || !slices.Equal(changes.Units, []string{testUnit}) {
		t.Errorf("got %+v, %v after the end of the program; want a change", changes, err)
	}
}

// TestAStartWhoseEndIsNotSeenIsAChange: whoever gave up waiting for it has not read
// the unit.
func TestAStartWhoseEndIsNotSeenIsAChange(t *testing.T) {
	pid1 := fakepid1.New(t)
	pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{Hold: true} })
	c := dialFake(t, pid1, watchNomad)
	ctx, cancel := context.WithCancel(testContext(t))
	go func() {
		_ = pid1.AwaitCalls(ctx, "StartTransientUnit", 1)
		pid1.Set(testUnit, map[string]any{"MainPID": uint32(7)})
		_ = c.Health() // the signal has come
		cancel()
	}()
	if _, err := c.start(ctx, testUnit, nil); !errors.Is(err, ErrOutcomeUnknown) {
		t.Fatalf("got %v, want ErrOutcomeUnknown", err)
	}
	if changes, ok := c.events.take(); !ok || !slices.Equal(changes.Units, []string{testUnit}) {
		t.Errorf("got %+v, want a change of %s", changes, testUnit)
	}
}
