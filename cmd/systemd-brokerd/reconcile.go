// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"nomad-systemd-driver/broker"
	"nomad-systemd-driver/broker/journal"
	"nomad-systemd-driver/broker/systemd"
)

const reconcileAbout = `Lists the running units that the policy would refuse to start today, each with the
reason, and those of which that cannot be told. It asks systemd, and the daemon need
not run. With --enforce it ends those that would be refused: SIGTERM, and SIGKILL after
the grace period. Their client sees their end; to start them again, it needs a policy
that allows it.

Exit status: 0 none would be refused, or all that would are ended, 1 some would, or it
could not be done.`

// difference is a broker.Difference as --json shows it.
type difference struct {
	Unit    string            `json:"unit"`
	Client  string            `json:"client"`
	Labels  map[string]string `json:"labels"`
	Refused bool              `json:"refused"`
	Reason  string            `json:"reason"`
}

func reconcile(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := newFlags("systemd-brokerd reconcile", reconcileAbout, stderr)
	dir := flags.String("policy", defaultPolicyDir, "directory with the policy's *.hcl files")
	runtimeDir := flags.String("runtime-dir", "/run/systemd-brokerd", "the daemon's directory")
	enforce := flags.Bool("enforce", false, "end the units that the policy would refuse")
	grace := flags.Duration("grace", 10*time.Second, "time from SIGTERM to SIGKILL, with --enforce")
	asJSON := flags.Bool("json", false, "print JSON")
	if err := parse(flags, args); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("reconcile must run as root: it asks PID 1")
	}
	p, err := loadPolicy(*dir)
	if err != nil {
		return err
	}
	conn, err := systemd.Dial(ctx, systemd.Options{})
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	c := &broker.Reconciler{Systemd: conn, Policy: p, RuntimeDir: *runtimeDir, Audit: journal.New(journal.Path)}
	all, err := c.Differences(ctx)
	if err != nil {
		return err
	}
	if err := showDifferences(stdout, all, *asJSON, *enforce); err != nil {
		return err
	}
	if !*enforce {
		if slices.ContainsFunc(all, func(d broker.Difference) bool { return d.Refused }) {
			return errDenied
		}
		return nil
	}
	return c.End(ctx, all, *grace)
}

func showDifferences(w io.Writer, all []broker.Difference, asJSON, enforce bool) error {
	if asJSON {
		out := []difference{} // not null
		for _, d := range all {
			out = append(out, difference{d.Unit, d.Client, d.Labels, d.Refused, d.Reason})
		}
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(out)
	}
	refused := 0
	for _, d := range all {
		verdict := "cannot tell"
		if d.Refused {
			verdict = "refused"
			refused++
		}
		if _, err := fmt.Fprintf(w, "%s (%s)\n  %s: %s\n", d.Unit, d.Client, verdict, strings.ToValidUTF8(d.Reason, "?")); err != nil {
			return err
		}
	}
	switch {
	case refused == 0:
		_, err := fmt.Fprintln(w, "No running unit is known that the policy would refuse.")
		return err
	case enforce:
		_, err := fmt.Fprintf(w, "Ending %d units.\n", refused)
		return err
	}
	_, err := fmt.Fprintf(w, "The policy would refuse %d of the running units; end them with: systemd-brokerd reconcile --enforce\n", refused)
	return err
}
