// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"context"
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/systemd/unitpath"
	"nomad-systemd-driver/broker/systemd/wire"
	"nomad-systemd-driver/broker/unit"
)

// auxiliary is a further unit for StartTransientUnit to create. There never is
// one; the type gives the empty array its signature a(sa(sv)).
type auxiliary struct {
	Name       string
	Properties []unit.Property
}

// Start starts the unit and returns its state once its start job has ended:
// with Type=exec, once the program has been executed.
//
// Errors: *StartError (the program could not be executed; the failed unit is
// still there, see [Conn.ResetFailed]), ErrUnitExists, ErrNotStarted (safe to
// start again), ErrOutcomeUnknown (the unit may run: look for it later),
// ErrNotFound (it was started and is gone), *MismatchError (it runs, but not as
// asked: end it), CallError (PID 1 refused; there is no unit). File descriptors among the properties may be
// closed as soon as Start returns, whatever it returns.
func (c *Conn) Start(ctx context.Context, u *unit.Unit) (Status, error) {
	return c.start(ctx, u.Name(), u.Properties(), u.Intended()...)
}

func (c *Conn) start(ctx context.Context, name string, properties []unit.Property, intended ...unit.Property) (Status, error) {
	o := c.events.observe(name)
	defer c.events.forget(o)
	// A start changes a unit several times over, and nobody need read it each time.
	c.events.hold(o)
	job, err := c.queueJob(ctx, "StartTransientUnit", name, "fail", properties, []auxiliary{})
	if errors.Is(err, wire.ErrNoReply) {
		return c.settle(ctx, o, false, intended)
	}
	if err != nil {
		return Status{}, fmt.Errorf("cannot start unit %s: %w", name, err)
	}
	result, err := c.waitJob(ctx, o, job)
	if errors.Is(err, errJobLost) {
		return c.settle(ctx, o, true, intended)
	}
	if err != nil {
		return Status{}, unknown(name, err)
	}
	c.events.release(o)
	if result != JobDone {
		status, _ := c.Status(ctx, name)
		if result != JobFailed || !status.executed() {
			// The status only explains; without it the failure is still one.
			return Status{}, &StartError{Unit: name, JobResult: result, Status: status}
		}
	}
	return c.verified(ctx, name, intended)
}

// verified is the state of a unit that has been started, if the properties have
// the values that were asked for. A unit that is there needs no GetUnit first.
func (c *Conn) verified(ctx context.Context, name string, intended []unit.Property) (Status, error) {
	d, values, err := c.readWith(ctx, name, unitpath.Of(name), unit.ReadBack(intended))
	switch {
	case errors.Is(err, ErrNotFound):
		return Status{}, fmt.Errorf("cannot read the state of unit %s: %w", name, err)
	case err != nil:
		return Status{}, unknown(name, err)
	case d.LoadState != LoadLoaded, d.InvocationID == "":
		// PID 1 tells the properties of what it did not start as well.
		return Status{}, &MismatchError{name, "LoadState", LoadLoaded + ", and started", d.LoadState}
	}
	return d.Status, mismatch(name, intended, values)
}

// queueJob calls a method that queues a job and returns the job's path.
func (c *Conn) queueJob(ctx context.Context, method string, args ...any) (dbus.ObjectPath, error) {
	replies, err := c.do(ctx, onManager(method, args...))
	if err != nil {
		return "", err
	}
	if replies[0].Err != nil {
		return "", errorOf(replies[0].Err)
	}
	job, err := bodyOf[dbus.ObjectPath](replies[0], method)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return job, nil
}

// errJobLost tells that the end of a job may have passed unseen.
var errJobLost = errors.New("signals may have been missed")

// waitJob waits for the end of a job and returns its result.
func (c *Conn) waitJob(ctx context.Context, o *observer, job dbus.ObjectPath) (string, error) {
	for {
		result, ended, missed := c.events.jobResult(o, job)
		if ended {
			return result, nil
		}
		if missed {
			return "", errJobLost
		}
		if err := c.waitChange(ctx, o); err != nil {
			return "", err
		}
	}
}

// waitChange waits until something happened to the unit.
func (c *Conn) waitChange(ctx context.Context, o *observer) error {
	select {
	case <-o.wake:
		return nil
	case <-c.closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settle learns from the unit itself how a start ended when the reply or the
// job's result was lost. Without a reply PID 1 may never have got the request;
// the connection it would have come from is gone, so it cannot come later.
func (c *Conn) settle(ctx context.Context, o *observer, accepted bool, intended []unit.Property) (Status, error) {
	for {
		d, err := c.details(ctx, o.unit)
		switch {
		case errors.Is(err, ErrNotFound) && !accepted:
			return Status{}, fmt.Errorf("cannot start unit %s: %w", o.unit, ErrNotStarted)
		case errors.Is(err, ErrNotFound):
			return Status{}, err
		case err != nil:
			return Status{}, unknown(o.unit, err)
		case d.job == 0 && d.ActiveState != Activating:
			if _, err := d.verdict(); err != nil {
				return Status{}, err
			}
			return c.verified(ctx, o.unit, intended)
		}
		if err := c.waitChange(ctx, o); err != nil {
			return Status{}, unknown(o.unit, err)
		}
	}
}

// Exit statuses with which systemd itself ends a child that it could not make
// execute the program (exit_status_to_string in systemd's basic/exit-status.c).
const (
	firstOwnStatus = 200
	lastOwnStatus  = 245
)

// executed tells of a failed unit whether its program was executed all the same.
// When a program ends so soon that PID 1 sees its end before it sees that it was
// executed, Type=exec takes the start for failed: its child could as well have
// ended before execve(2). But then it ends with a status of systemd's own, and
// never by a signal.
func (s *Status) executed() bool {
	if s.ActiveState != Failed || s.ExecMainPID == 0 {
		return false
	}
	switch s.Result {
	case "signal", "core-dump", "oom-kill":
		return true
	case "exit-code":
		return s.ExecMainStatus < firstOwnStatus || s.ExecMainStatus > lastOwnStatus
	}
	return false
}

// verdict tells how the start of a unit without a pending job ended. A unit
// that was active has been started, whatever became of it since.
func (d *details) verdict() (Status, error) {
	if d.entered || d.executed() {
		return d.Status, nil
	}
	return Status{}, &StartError{Unit: d.Unit, JobResult: JobFailed, Status: d.Status}
}

func unknown(name string, cause error) error {
	return fmt.Errorf("cannot learn what became of unit %s: %w: %w", name, ErrOutcomeUnknown, cause)
}
