// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/systemd/wire"
	"nomad-systemd-driver/broker/unit"
)

// Who selects the processes of a unit that Kill signals.
type Who string

// Values of Who, org.freedesktop.systemd1(5), KillUnit().
const (
	Main Who = "main" // the main process
	All  Who = "all"  // every process of the control group
)

// Kill sends a signal. Errors: ErrNotFound, ErrNoProcess, ErrOutcomeUnknown
// (the signal may have been sent).
func (c *Conn) Kill(ctx context.Context, unit string, who Who, sig unix.Signal) error {
	_, err := c.queueless(ctx, c.do, "KillUnit", unit, string(who), int32(sig)) //nolint:gosec // signal numbers are small
	if errors.Is(err, wire.ErrNoReply) {
		err = fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	if err != nil {
		return fmt.Errorf("cannot send %s to unit %s: %w", unix.SignalName(sig), unit, err)
	}
	return nil
}

// Stop stops the unit and waits until it has stopped. It prevails over a start
// that is still under way (mode "replace"), which then ends as JobCanceled.
// A unit that PID 1 does not have is ErrNotFound.
func (c *Conn) Stop(ctx context.Context, unit string) error {
	o := c.events.observe(unit)
	defer c.events.forget(o)
	sent := false // an earlier attempt may have stopped it
	for {
		job, err := c.queueJob(ctx, "StopUnit", unit, "replace")
		if err == nil {
			var result string
			result, err = c.waitJob(ctx, o, job)
			if err == nil && result != JobDone {
				err = fmt.Errorf("its stop job ended as %q", result)
			}
		}
		switch {
		case err == nil, sent && errors.Is(err, ErrNotFound):
			return nil
		case ctx.Err() == nil && (errors.Is(err, wire.ErrNoReply) || errors.Is(err, errJobLost)):
			// Stopping twice is stopping once.
			sent = true
			c.events.reset(o)
		default:
			return fmt.Errorf("cannot stop unit %s: %w", unit, err)
		}
	}
}

// ResetFailed lets PID 1 forget a failed unit, its exit status included. It is
// nil if there is no such unit.
func (c *Conn) ResetFailed(ctx context.Context, unit string) error {
	_, err := c.queueless(ctx, c.read, "ResetFailedUnit", unit)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("cannot reset the failure of unit %s: %w", unit, err)
	}
	return nil
}

// SetCPUs confines a unit that runs to CPUs; none lifts it. PID 1 keeps it in a
// drop-in of the transient unit, which goes with it (unit_drop_in_dir of systemd).
func (c *Conn) SetCPUs(ctx context.Context, name string, cpus []uint32) error {
	if _, err := c.queueless(ctx, c.read, "SetUnitProperties", name, true, []unit.Property{unit.AllowedCPUs(cpus)}); err != nil {
		return fmt.Errorf("cannot set the CPUs of unit %s: %w", name, err)
	}
	return nil
}

// List returns the names of all units PID 1 has that match a pattern, glob(7).
func (c *Conn) List(ctx context.Context, pattern string) ([]string, error) {
	reply, err := c.queueless(ctx, c.read, "ListUnitsByPatterns", []string{}, []string{pattern})
	if err != nil {
		return nil, fmt.Errorf("cannot list units %s: %w", pattern, err)
	}
	names, err := decodeList(reply)
	if err != nil {
		return nil, fmt.Errorf("cannot list units %s: %w", pattern, err)
	}
	return names, nil
}

// decodeList takes a(ssssssouso): name, description, load state and more.
func decodeList(reply wire.Reply) ([]string, error) {
	const what = "ListUnitsByPatterns"
	rows, err := bodyOf[[][]any](reply, what)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(rows))
	for _, row := range rows {
		if len(row) != 10 {
			return nil, fmt.Errorf("PID 1 gave an entry of %s with %d values, expected 10", what, len(row))
		}
		name, err := valueOf[string](row[0], what)
		if err != nil {
			return nil, err
		}
		load, err := valueOf[string](row[2], what)
		if err != nil {
			return nil, err
		}
		if load != LoadNotFound {
			names = append(names, name)
		}
	}
	return names, nil
}

// queueless calls a method that queues no job, by do or read.
func (c *Conn) queueless(
	ctx context.Context,
	by func(context.Context, ...wire.Call) ([]wire.Reply, error),
	method string, args ...any,
) (wire.Reply, error) {
	replies, err := by(ctx, onManager(method, args...))
	if err != nil {
		return wire.Reply{}, err
	}
	if replies[0].Err != nil {
		return wire.Reply{}, errorOf(replies[0].Err)
	}
	return replies[0], nil
}
