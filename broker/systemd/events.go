// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/godbus/dbus/v5"
)

// Changes tells what to read again. It says nothing about what a unit has
// become: several changes of one unit are one entry.
type Changes struct {
	// Units that changed or vanished, sorted, each once.
	Units []string
	// Resync is set when changes may have been missed: read every unit again.
	Resync bool
}

// events keeps what the signals said until somebody asks. Its size is bounded
// by the number of units, whatever the number of signals.
type events struct {
	watch func(unit string) bool
	wake  chan struct{} // holds one token while there is something for Next

	mu        sync.Mutex
	dirty     map[string]struct{}
	missed    bool // Resync is due
	observers map[string][]*observer
}

// observer follows one unit on behalf of one call.
type observer struct {
	unit string
	wake chan struct{} // holds one token when something happened

	// Guarded by the mutex of events.
	jobs   map[dbus.ObjectPath]string // results of the unit's jobs that ended
	missed bool                       // signals may have been missed
	// holds keeps the unit's changes from Next, and held tells that there were some:
	// the call reads the unit itself when they are over.
	holds, held bool
}

func newEvents(watch func(string) bool) *events {
	if watch == nil {
		watch = func(string) bool { return true }
	}
	return &events{
		watch:     watch,
		wake:      make(chan struct{}, 1),
		dirty:     make(map[string]struct{}),
		observers: make(map[string][]*observer),
	}
}

// Next waits until a watched unit has changed and returns all that have since
// the last call. It is meant for one goroutine.
func (c *Conn) Next(ctx context.Context) (Changes, error) {
	for {
		if changes, ok := c.events.take(); ok {
			return changes, nil
		}
		select {
		case <-c.events.wake:
		case <-c.closed:
			return Changes{}, ErrClosed
		case <-ctx.Done():
			return Changes{}, ctx.Err()
		}
	}
}

func (e *events) take() (Changes, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.missed && len(e.dirty) == 0 {
		return Changes{}, false
	}
	changes := Changes{Units: slices.Sorted(maps.Keys(e.dirty)), Resync: e.missed}
	clear(e.dirty)
	e.missed = false
	return changes, true
}

// resync tells everybody that signals may have been missed.
func (e *events) resync() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.missed = true
	poke(e.wake)
	for _, list := range e.observers {
		for _, o := range list {
			o.missed = true
			poke(o.wake)
		}
	}
}

// unitChanged notes a change of one unit.
func (e *events) unitChanged(unit string) {
	watched := e.watch(unit)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range e.observers[unit] {
		if o.holds {
			o.held, watched = true, false
		}
		poke(o.wake)
	}
	if watched {
		e.dirty[unit] = struct{}{}
		poke(e.wake)
	}
}

// hold keeps the changes of the observer's unit from Next, until release or forget.
func (e *events) hold(o *observer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o.holds = true
}

// release lets Next have the changes from now on. Those so far are dropped: it must
// come before the unit is read.
func (e *events) release(o *observer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o.holds, o.held = false, false
}

// jobEnded notes the result of one job.
func (e *events) jobEnded(unit string, job dbus.ObjectPath, result string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range e.observers[unit] {
		o.jobs[job] = result
		poke(o.wake)
	}
}

// observe follows a unit until forget. It must come before the call that
// starts a job: the job may end before that call returns.
func (e *events) observe(unit string) *observer {
	o := &observer{unit: unit, wake: make(chan struct{}, 1), jobs: make(map[dbus.ObjectPath]string)}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.observers[unit] = append(e.observers[unit], o)
	return o
}

func (e *events) forget(o *observer) {
	watched := e.watch(o.unit)
	e.mu.Lock()
	defer e.mu.Unlock()
	if o.held && watched {
		e.dirty[o.unit] = struct{}{}
		poke(e.wake)
	}
	rest := slices.DeleteFunc(e.observers[o.unit], func(other *observer) bool { return other == o })
	if len(rest) == 0 {
		delete(e.observers, o.unit)
		return
	}
	e.observers[o.unit] = rest
}

// observed tells whether any call waits for something of a unit.
func (e *events) observed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.observers) > 0
}

// jobResult returns the result of a job that ended, and whether its end may
// have been missed.
func (e *events) jobResult(o *observer, job dbus.ObjectPath) (result string, ended, missed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	result, ended = o.jobs[job]
	return result, ended, o.missed
}

// reset prepares an observer for another attempt.
func (e *events) reset(o *observer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o.missed = false
}

func poke(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
