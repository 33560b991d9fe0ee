// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/broker/unit"
)

// Reconciler compares what runs with a policy. It asks PID 1 itself and needs no
// broker, so that no client of a broker can ask for it.
type Reconciler struct {
	Systemd Systemd
	Policy  *policy.Policy
	// RuntimeDir is that of the broker.
	RuntimeDir string
	Audit      Sink
}

// Difference is a unit that runs and that the policy would refuse today, or of
// which that cannot be told.
type Difference struct {
	Unit, Client string
	Labels       map[string]string
	// Refused is false if it cannot be told.
	Refused bool
	Reason  string

	record *record
	err    error
}

// Differences are sorted by the names of the units.
func (c *Reconciler) Differences(ctx context.Context) ([]Difference, error) {
	names, err := c.Systemd.List(ctx, brokerMade)
	if err != nil {
		return nil, fmt.Errorf("cannot list the units: %w", err)
	}
	slices.Sort(names)
	var all []Difference
	for _, name := range names {
		st, err := c.Systemd.Status(ctx, name)
		if errors.Is(err, systemd.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", name, err)
		}
		r, ok := brokersOwn(name, &st)
		if !ok || over(stateOf(&st)) {
			continue
		}
		if err := wouldRefuse(c.Policy, c.RuntimeDir, r); err != nil {
			_, denied := errors.AsType[*policy.Denial](err)
			all = append(all, Difference{name, r.client, r.labels, denied, reasonOf(err), r, err})
		}
	}
	return all, nil
}

// brokersOwn is the record of a unit that a broker started, for whatever client:
// only root can make a unit with its fields.
func brokersOwn(name string, st *systemd.Status) (*record, bool) {
	f := st.LogExtraFields
	if !strings.HasSuffix(name, unit.Name("", nil, f[fieldID])) {
		return nil, false
	}
	prefix, _, _ := strings.Cut(name, "-")
	return recordOf(&policy.Client{Name: f[fieldClient], UnitPrefix: prefix}, name, f)
}

// End ends the units of those differences that are refused: SIGTERM, and after
// grace SIGKILL to all that is left. The units stay, with their exit status, for
// their client to read.
func (c *Reconciler) End(ctx context.Context, all []Difference, grace time.Duration) error {
	a := newAudit(c.Audit, nil)
	left := make(map[string]bool)
	var failed []error
	for _, d := range all {
		if !d.Refused {
			continue
		}
		if err := c.kill(ctx, d.Unit, systemd.Main, unix.SIGTERM); err != nil {
			failed = append(failed, fmt.Errorf("cannot end %s: %w", d.Unit, err))
			a.stopped(ctx, d.record, err)
			continue
		}
		left[d.Unit] = true
		a.ofUnit(ctx, eventUnitStopped, d.record, fmt.Errorf("systemd-brokerd reconcile --enforce: %w", d.err))
	}
	if err := c.await(ctx, left, grace); err != nil {
		return errors.Join(append(failed, err)...)
	}
	for name := range left {
		if err := c.kill(ctx, name, systemd.All, unix.SIGKILL); err != nil {
			failed = append(failed, fmt.Errorf("cannot kill %s: %w", name, err))
		}
	}
	if err := c.await(ctx, left, killTimeout); err != nil {
		return errors.Join(append(failed, err)...)
	}
	for name := range left {
		failed = append(failed, fmt.Errorf("%s was sent SIGKILL and still runs after %s: a process may hang in the kernel (see systemctl status %s)", name, killTimeout, name))
	}
	return errors.Join(failed...)
}

func (c *Reconciler) kill(ctx context.Context, name string, who systemd.Who, sig unix.Signal) error {
	err := c.Systemd.Kill(ctx, name, who, sig)
	if errors.Is(err, systemd.ErrNotFound) || errors.Is(err, systemd.ErrNoProcess) {
		return nil
	}
	return err
}

// await takes the units out of left that have ended, until all have or the time
// is over, and kills what they left.
func (c *Reconciler) await(ctx context.Context, left map[string]bool, limit time.Duration) error {
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		for name := range left {
			st, err := c.Systemd.Status(ctx, name)
			switch {
			case errors.Is(err, systemd.ErrNotFound):
				delete(left, name)
			case err != nil:
				return fmt.Errorf("cannot read %s: %w", name, err)
			case over(stateOf(&st)):
				delete(left, name)
				if err := c.kill(ctx, name, systemd.All, unix.SIGKILL); err != nil {
					return fmt.Errorf("cannot kill what %s left: %w", name, err)
				}
			}
		}
		if len(left) == 0 {
			return nil
		}
		if _, err := c.Systemd.Next(wait); err != nil {
			if wait.Err() != nil && ctx.Err() == nil {
				return nil
			}
			return fmt.Errorf("cannot wait for the units: %w", err)
		}
	}
}
