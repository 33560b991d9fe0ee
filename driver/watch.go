// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// watch keeps the driver's view of all units true until the driver ends: one
// stream for all tasks, opened again whenever it breaks. A new connection is
// itself the sign that the broker is back; the pause between two tries grows
// only while the broker answers with errors.
func (d *Driver) watch(b *broker) {
	pause := firstRetry
	for d.ctx.Err() == nil {
		synced, err := d.follow(b)
		if d.ctx.Err() != nil {
			return
		}
		b.health.set(nil, err)
		if synced {
			pause = firstRetry
		}
		level := hclog.Debug
		if pause == firstRetry { // once, not at each try
			level = hclog.Warn
		}
		d.log.Log(level, "systemd-brokerd is away; tasks go on", "error", err)
		select {
		case <-time.After(pause):
		case <-d.ctx.Done():
		}
		pause = min(2*pause, lastRetry)
	}
}

// follow reads one stream to its end and reports whether it got as far as
// showing all units.
func (d *Driver) follow(b *broker) (synced bool, err error) {
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	stream, err := b.WatchUnits(ctx, &brokerv1.WatchUnitsRequest{})
	if err != nil {
		return false, err
	}
	// What the stream does not show by its sync was gone before it began, so
	// only tasks that are known now can be missing.
	before := d.present()
	seen := make(map[string]bool)
	for {
		m, err := stream.Recv()
		if err != nil {
			return synced, err
		}
		if u := m.GetUnit(); u != nil {
			seen[u.GetId()] = true
			d.observe(u)
		}
		if m.GetSynced() && !synced {
			synced = true
			d.sweep(b, before, seen)
			info, err := d.greet(ctx, b)
			if err != nil {
				return synced, err
			}
			if info.GetUnhealthyReason() != "" {
				asking.Go(func() { d.askAgain(ctx, b, info) })
			}
		}
	}
}

// greet asks who the broker is and tells the fingerprint. It does not wait for one that
// has just ended: nobody would be told of that until another is there.
func (d *Driver) greet(ctx context.Context, b *broker) (*brokerv1.InfoResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := b.Info(ctx, &brokerv1.InfoRequest{})
	if err != nil {
		return nil, err
	}
	b.health.set(info, nil)
	return info, nil
}

// askAgain asks a broker that is not well until it is, or ctx ends: nothing tells that
// a PID 1 which was slow answers again.
func (d *Driver) askAgain(ctx context.Context, b *broker, was *brokerv1.InfoResponse) {
	for pause := firstRetry; was.GetUnhealthyReason() != ""; pause = min(2*pause, lastRetry) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		if info, err := d.greet(ctx, b); err == nil {
			was = info
		}
	}
}

// present lists the tasks the driver has now.
func (d *Driver) present() []*task {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*task, 0, len(d.tasks))
	for _, t := range d.tasks {
		all = append(all, t)
	}
	return all
}

// observe passes news of a unit to its task.
func (d *Driver) observe(u *brokerv1.Unit) {
	t, ok := d.task(u.GetId())
	if !ok {
		d.collectLater()
		return
	}
	if t.observe(u) {
		d.tell(t, u)
	}
}

// sweep ends the tasks whose units are gone, and removes the units that Nomad
// destroyed while the broker was away.
func (d *Driver) sweep(b *broker, before []*task, seen map[string]bool) {
	for _, t := range before {
		switch {
		case t.isDestroyed():
			go func() {
				if err := d.remove(b, t); err != nil {
					d.log.Warn("cannot clean up after a task", "error", err)
				}
			}()
		case !seen[t.config.ID]:
			t.lose()
		}
	}
}
