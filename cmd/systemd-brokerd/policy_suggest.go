// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"io"
	"slices"
)

const suggestAbout = `Usage: journalctl -u systemd-brokerd -o json | systemd-brokerd policy suggest [flags]

Prints the narrowest rules that would have allowed what was denied, as far as any rule
can and the policy does not allow it by now: for you to review, and to put into a file
of the policy. Changes nothing.

Exit status: 0 every denial is allowed by now or by a rule that is printed, 1 some are
not, 2 the policy, the input or the command line is wrong.`

func policySuggest(args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := newFlags("systemd-brokerd policy suggest", suggestAbout, stderr)
	dir := flags.String("policy", defaultPolicyDir, "directory with the policy's *.hcl files")
	asJSON := flags.Bool("json", false, "print JSON")
	var host hostFiles
	host.flags(flags)
	if err := parse(flags, args); err != nil {
		return err
	}
	p, err := host.read(*dir)
	if err != nil {
		return mistake(err)
	}
	records, skipped, err := journalRecords(stdin)
	if err != nil {
		return mistake(err)
	}
	note(stderr, skipped, "recorded without the whole request, and left out")
	wanted, without, malformed := wishesOf(p, records)
	note(stderr, malformed, "left out: they hold what no policy can allow, or their client is gone")
	all := []suggestion{}
	for _, w := range without {
		all = append(all, w.suggestion("", w.denial))
	}
	for i, w := range wanted {
		text, denial, err := w.rule(&host, *dir, i+1)
		if err != nil {
			return mistake(err)
		}
		all = append(all, w.suggestion(text, denial))
	}
	if *asJSON {
		err = encodeJSON(stdout, all)
	} else {
		printSuggestions(stdout, all, len(records))
	}
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(s suggestion) bool { return s.Rule == "" }) {
		return errDenied
	}
	return nil
}

// suggestion is what would allow one task, or why nothing would.
type suggestion struct {
	Times   int               `json:"times"`
	Client  string            `json:"client"`
	Command string            `json:"command"`
	User    string            `json:"user,omitempty"`
	Labels  map[string]string `json:"labels"`
	// Rule is empty if no rule helps; Reason says why.
	Rule   string `json:"rule,omitempty"`
	Reason string `json:"reason,omitempty"`
}

func (w *wish) suggestion(rule, reason string) suggestion {
	return suggestion{w.times, w.client.Name, w.command, w.user, w.labels, rule, reason}
}

// printSuggestions prints what can be a file of the policy as it is.
func printSuggestions(stdout io.Writer, all []suggestion, records int) {
	paint, printed := newPainter(stdout), 0
	for _, s := range all {
		if s.Rule == "" {
			fmt.Fprintln(stdout, paint.warn(fmt.Sprintf("# %d × command %q of job %q: no rule helps: %s", s.Times, s.Command, s.Labels["JOB_ID"], oneLine(s.Reason))))
		}
	}
	for _, s := range all {
		if s.Rule == "" {
			continue
		}
		if printed == 0 {
			fmt.Fprintf(stdout, "# Suggested by systemd-brokerd policy suggest: review each rule before you keep it.\n\nversion = 1\n")
		}
		printed++
		fmt.Fprintf(stdout, "\n%s", s.Rule)
	}
	if len(all) == 0 {
		fmt.Fprintf(stdout, "# %d decisions, none of them a denial that the policy does not allow by now\n", records)
	}
}
