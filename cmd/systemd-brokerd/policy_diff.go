// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"nomad-systemd-driver/broker/policy"
)

const diffAbout = `Usage: journalctl -u systemd-brokerd -o json |
           systemd-brokerd policy diff [flags] OLD NEW

Asks two policies, directories, about each request that is recorded in the journal,
or stands in the file of --requests, and lists those that are answered otherwise.

Exit status: 0 there are none, 1 there are, 2 a policy, the input or the command line
is wrong.`

// change is a request that two policies answer otherwise.
type change struct {
	Client  string            `json:"client"`
	Command string            `json:"command"`
	User    string            `json:"user,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Session bool              `json:"session,omitempty"`
	Before  string            `json:"before"`
	After   string            `json:"after"`
	Times   int               `json:"times"`
}

func policyDiff(args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := newFlags("systemd-brokerd policy diff", diffAbout, stderr)
	path := flags.String("requests", "", "`file` of requests instead of the journal's records, as policy explain takes it")
	client := flags.String("client", "", "client that asks, with --requests")
	asJSON := flags.Bool("json", false, "print JSON")
	var host hostFiles
	host.flags(flags)
	if err := flags.Parse(args); err != nil {
		return usageError(err)
	}
	if flags.NArg() != 2 {
		flags.Usage()
		return errUsage
	}
	var policies [2]*policy.Policy
	for i := range policies {
		p, err := host.read(flags.Arg(i))
		if err != nil {
			return mistake(fmt.Errorf("%s: %w", flags.Arg(i), err))
		}
		policies[i] = p
	}
	var records []recorded
	if *path != "" {
		c, err := clientOf(policies[0], *client)
		if err != nil {
			return mistake(err)
		}
		specs, err := readRequests(*path, stdin)
		if err != nil {
			return mistake(err)
		}
		for _, a := range specs {
			if a.was != nil {
				return mistake(fmt.Errorf("%s holds records of the journal; give them on standard input, without --requests", *path))
			}
			records = append(records, recorded{client: c.Name, spec: a.spec})
		}
	} else {
		var skipped int
		var err error
		if records, skipped, err = journalRecords(stdin); err != nil {
			return mistake(err)
		}
		if len(records) == 0 {
			return mistake(errors.New("the input holds no recorded decision; give it: journalctl -u systemd-brokerd -o json"))
		}
		note(stderr, skipped, "recorded without the whole request, and left out")
		for i, p := range policies {
			said := false
			if policies[i], said = p.IgnoringArgs(); said {
				fmt.Fprintf(stderr, "%s: arguments are not recorded; what the policy says of them is left out\n", flags.Arg(i))
			}
		}
	}
	changes, malformed := changesOf(policies[0], policies[1], records)
	note(stderr, malformed, "not answered: malformed, or a session, the rule of whose unit is not recorded")
	if *asJSON {
		if err := encodeJSON(stdout, changes); err != nil {
			return err
		}
	} else {
		paint := newPainter(stdout)
		for _, c := range changes {
			fmt.Fprintf(stdout, "%s\n%s\n%s\n", paint.head(c.title()), paint.bad("  - "+c.Before), paint.good("  + "+c.After))
		}
		fmt.Fprintf(stdout, "%d requests, %d answered otherwise\n", len(records)-malformed, total(changes))
	}
	if len(changes) > 0 {
		return errDenied
	}
	return nil
}

func note(stderr io.Writer, n int, what string) {
	if n > 0 {
		fmt.Fprintf(stderr, "%d requests are %s\n", n, what)
	}
}

func total(changes []change) int {
	n := 0
	for _, c := range changes {
		n += c.Times
	}
	return n
}

func (c *change) title() string {
	user, kind := c.User, "unit"
	if user == "" {
		user = "an ephemeral user"
	}
	if c.Session {
		kind = "session"
	}
	var labels []string
	for _, k := range slices.Sorted(maps.Keys(c.Labels)) {
		labels = append(labels, k+"="+c.Labels[k])
	}
	return fmt.Sprintf("%d × %s of client %q: command %q as %s, %s", c.Times, kind, c.Client, c.Command, user, strings.Join(labels, " "))
}

// changesOf asks both policies, and joins what is the same but for the allocation.
func changesOf(before, after *policy.Policy, records []recorded) (changes []change, malformed int) {
	changes = []change{}
	seen := map[string]int{}
	for _, rec := range records {
		was, ok := answer(before, rec)
		is, ok2 := answer(after, rec)
		if !ok || !ok2 {
			malformed++
			continue
		}
		if was == is || strings.HasPrefix(was, "denied: ") && strings.HasPrefix(is, "denied: ") {
			continue // in other words is the same answer
		}
		c := change{Client: rec.client, Command: rec.spec.GetCommand(), User: rec.spec.GetUser(), Session: rec.session, Before: was, After: is, Times: 1}
		c.Labels = stable(rec.spec.GetLabels())
		key := fmt.Sprint(c)
		if i, ok := seen[key]; ok {
			changes[i].Times++
			continue
		}
		seen[key] = len(changes)
		changes = append(changes, c)
	}
	return changes, malformed
}

// stable are the labels that are the same for each allocation of a task.
func stable(labels map[string]string) map[string]string {
	kept := maps.Clone(labels)
	maps.DeleteFunc(kept, func(k, _ string) bool { return strings.HasSuffix(k, "_ALLOC_ID") || strings.HasSuffix(k, "_NODE_ID") })
	return kept
}

// answer is what the policy says, in words; false if it cannot be asked.
func answer(p *policy.Policy, rec recorded) (string, bool) {
	c, err := clientOf(p, rec.client)
	if err != nil {
		return "denied: the policy has no such client", true
	}
	r, err := recordedRequest(rec, c)
	if err != nil {
		return "", false
	}
	d, err := p.Decide(c.Peer(), r)
	if err != nil {
		return "denied: " + strings.TrimPrefix(err.Error(), "policy refuses "), true
	}
	return fmt.Sprintf("allowed by rule %q", d.Rule()), true
}
