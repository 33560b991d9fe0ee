// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// Orphans says what becomes of units of this client that no task knows: those
// whose agent died between their start and the moment it wrote that down.
type Orphans struct {
	// DryRun reports them only.
	DryRun bool `codec:"dry_run"`
	// Period is the time between two looks while there are any.
	Period string `codec:"period"`
	// Grace is how long a unit may be without a task, minGrace at least: an agent
	// that starts with many tasks recovers them one by one.
	Grace string `codec:"grace"`

	period, grace time.Duration
}

const (
	minPeriod = time.Second
	minGrace  = 5 * time.Second
)

var defaultOrphans = Orphans{period: time.Minute, grace: 5 * time.Minute}

var orphansSpec = hclspec.NewBlock("orphans", false, hclspec.NewObject(map[string]*hclspec.Spec{
	"dry_run": hclspec.NewDefault(hclspec.NewAttr("dry_run", "bool", false), hclspec.NewLiteral("false")),
	"period":  hclspec.NewDefault(hclspec.NewAttr("period", "string", false), hclspec.NewLiteral(`"1m"`)),
	"grace":   hclspec.NewDefault(hclspec.NewAttr("grace", "string", false), hclspec.NewLiteral(`"5m"`)),
}))

// parse reads the durations; what is not set gets its default.
func (o *Orphans) parse() error {
	o.period, o.grace = defaultOrphans.period, defaultOrphans.grace
	for key, v := range map[string]struct {
		text string
		into *time.Duration
		min  time.Duration
	}{"period": {o.Period, &o.period, minPeriod}, "grace": {o.Grace, &o.grace, minGrace}} {
		if v.text == "" {
			continue
		}
		d, err := time.ParseDuration(v.text)
		if err != nil || d < v.min {
			return fmt.Errorf("plugin config orphans.%s: %q is not a time of at least %s, such as \"90s\" or \"5m\"", key, v.text, v.min)
		}
		*v.into = d
	}
	return nil
}

// collectLater has the broker's units compared with the tasks before long. It
// is called when the stream shows a unit without a task, or the unit of a task
// that was destroyed could not be removed; else nothing runs.
func (d *Driver) collectLater() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.suspect = true
	if d.collecting || d.broker == nil {
		return
	}
	d.collecting = true
	c := &collector{d: d, b: d.broker, Orphans: d.config.Orphans, since: make(map[string]time.Time), told: make(map[string]bool)}
	go c.run()
}

// collector looks for orphans until there are none that it has to wait for. What
// is left of destroyed tasks it removes as well, without a grace and in a dry run
// too: Nomad has asked for that.
type collector struct {
	Orphans
	d     *Driver
	b     *broker
	since map[string]time.Time // by invocation: first seen without a task
	told  map[string]bool      // by invocation: reported, in a dry run
}

func (c *collector) run() {
	ticker := time.NewTicker(c.period)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-c.d.ctx.Done():
			return
		}
		if c.look() && c.d.noSuspects() {
			return
		}
	}
}

// noSuspects ends the collector unless a unit without a task came meanwhile.
func (d *Driver) noSuspects() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.collecting = d.suspect
	return !d.suspect
}

// look removes what is left of destroyed tasks and the orphans whose grace is
// over, and reports whether there are no others to wait for.
func (c *collector) look() (done bool) {
	c.d.mu.Lock()
	c.d.suspect = false
	c.d.mu.Unlock()
	done = c.d.removeDestroyed(c.b)
	ctx, cancel := context.WithTimeout(c.d.ctx, callTimeout)
	defer cancel()
	resp, err := c.b.ListUnits(ctx, &brokerv1.ListUnitsRequest{})
	if err != nil {
		return false // the broker is away: next time
	}
	now, waiting := time.Now(), make(map[string]time.Time)
	for _, u := range resp.GetUnits() {
		run := u.GetHandle().GetInvocationId()
		if _, ok := c.d.task(u.GetId()); ok || c.told[run] {
			continue
		}
		first, known := c.since[run]
		if !known {
			first = now
		}
		if now.Sub(first) < c.grace || !c.collect(ctx, u) {
			waiting[run] = first
		}
	}
	c.since = waiting
	return done && len(waiting) == 0
}

// removeDestroyed removes the units of the tasks that Nomad destroyed, and
// reports whether none is left.
func (d *Driver) removeDestroyed(b *broker) (done bool) {
	done = true
	for _, t := range d.present() {
		if !t.isDestroyed() {
			continue
		}
		if err := d.remove(b, t); err != nil {
			d.log.Warn("cannot clean up after a task", "error", err)
			done = false
		}
	}
	return done
}

// remove removes an orphan, unless it has become none.
func (c *collector) remove(ctx context.Context, u *brokerv1.Unit) (done bool) {
	release, ok := c.d.claimOrphan(u.GetId())
	if !ok {
		return false
	}
	defer release()
	if _, err := c.b.RemoveUnit(ctx, &brokerv1.RemoveUnitRequest{Handle: u.GetHandle()}); err != nil {
		c.d.log.Warn("cannot remove a unit that belongs to no task", "unit", u.GetHandle().GetUnit(), "error", err)
		return false
	}
	return true
}

// collect removes an orphan and tells of it, in a dry run tells only.
func (c *collector) collect(ctx context.Context, u *brokerv1.Unit) (done bool) {
	name := u.GetHandle().GetUnit()
	text := fmt.Sprintf("unit %s belonged to no task of this agent and was removed", name)
	if c.DryRun {
		text = fmt.Sprintf("unit %s belongs to no task of this agent; it stays, as orphans.dry_run is set", name)
		c.told[u.GetHandle().GetInvocationId()] = true
	} else if !c.remove(ctx, u) {
		return false
	}
	alloc, task := u.GetLabels()["NOMAD_ALLOC_ID"], u.GetLabels()["NOMAD_TASK_NAME"]
	c.d.log.Warn(text, "alloc", alloc, "task", task)
	err := c.d.EmitEvent(&drivers.TaskEvent{
		TaskID: u.GetId(), TaskName: task, AllocID: alloc,
		Timestamp: time.Now(), Message: text, Annotations: map[string]string{"unit": name},
	})
	if err != nil {
		c.d.log.Warn("cannot emit a task event", "error", err)
	}
	return true
}
