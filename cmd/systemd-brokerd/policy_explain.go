// SPDX-License-Identifier: MPL-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"nomad-systemd-driver/broker/policy"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

const explainAbout = `Usage: systemd-brokerd policy explain [flags] [FILE]

Says what the policy decides on requests, and for each rule how many checks fail
and the first of them, the nearest miss first; --json lists them all. The file, or
standard input, is a job, as "nomad job run -output" prints it; a job file, of which the
name ends in .hcl or .nomad; requests, as nomad-systemd-driver makes them of a job; or
decisions of the broker as they are in the journal:

  systemd-brokerd policy explain JOB.nomad.hcl
  nomad job run -output JOB.nomad.hcl | systemd-brokerd policy explain
  nomad-systemd-driver requests --var=A=B JOB.nomad.hcl | systemd-brokerd policy explain
  systemd-brokerd policy explain <(journalctl -o json BROKER_REQUEST_ID=ID)

Of a job the installed plugin nomad-systemd-driver makes requests, and of a job file
the nomad that is in PATH makes a job; the plugin has more flags for it.

Exit status: 0 all are allowed and would start, 1 at least one is denied or its program
is not root's alone to change, 2 the policy, a request
or the command line is wrong.`

func policyExplain(args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := newFlags("systemd-brokerd policy explain", explainAbout, stderr)
	dir := flags.String("policy", defaultPolicyDir, "directory with the policy's *.hcl files")
	client := flags.String("client", "", "client that asks; the only one if there is but one")
	asJSON := flags.Bool("json", false, "print JSON")
	var host hostFiles
	host.flags(flags)
	path, err := parseName(flags, args)
	if err != nil {
		return err
	}
	if path == "" {
		path = "-"
	}
	p, err := host.read(*dir)
	if err != nil {
		return mistake(err)
	}
	requests, err := readRequests(path, stdin)
	if job, ok := errors.AsType[*jobError](err); ok {
		c, err := clientOf(p, *client)
		if err != nil {
			return mistake(err)
		}
		return explainJob(job, c, flags)
	}
	if err != nil {
		return mistake(err)
	}
	var all []explained
	for i, a := range requests {
		e, err := explain(&host, p, a, *client, stderr)
		if err != nil {
			return mistake(fmt.Errorf("%s: request %d: %w", path, i+1, err))
		}
		all = append(all, e)
	}
	if *asJSON {
		err = encodeJSON(stdout, all)
	} else {
		err = printExplained(stdout, all)
	}
	if err != nil {
		return err
	}
	for _, e := range all {
		if !e.Allowed || e.Program != "" {
			return errDenied
		}
	}
	return nil
}

// explain asks the policy one request, as the client, or as whoever asked when it was
// recorded.
func explain(host *hostFiles, p *policy.Policy, a asked, client string, stderr io.Writer) (explained, error) {
	if a.was == nil {
		c, err := clientOf(p, client)
		if err != nil {
			return explained{}, err
		}
		r, err := requestOf(a.spec, c)
		if err != nil {
			return explained{}, err
		}
		return newExplained(host, a.spec, r, p.Explain(c.Peer(), r)), nil
	}
	c, err := clientOf(p, a.was.client)
	if err != nil {
		return explained{}, err
	}
	r, err := recordedRequest(*a.was, c)
	if err != nil {
		return explained{}, err
	}
	without, said := p.IgnoringArgs()
	if said {
		fmt.Fprintf(stderr, "%s: arguments are not recorded; what the policy says of them is left out\n", a.spec.GetId())
	}
	e := newExplained(host, a.spec, r, without.Explain(c.Peer(), r))
	e.Recorded = a.was.answer()
	return e, nil
}

// explained is an explanation as it is printed.
type explained struct {
	ID      string            `json:"id"`
	Client  string            `json:"client"`
	Command string            `json:"command"`
	Labels  map[string]string `json:"labels,omitempty"`
	Allowed bool              `json:"allowed"`
	Rule    string            `json:"rule,omitempty"`
	Denial  *denialJSON       `json:"denial,omitempty"`
	Rules   []verdictJSON     `json:"rules"`
	// Program says why the program would not start on this host though it is allowed.
	Program string `json:"program,omitempty"`
	// Recorded is what was decided at the time, if the request is from the journal.
	Recorded string `json:"recorded,omitempty"`
}

type denialJSON struct {
	Subject string `json:"subject"`
	Value   string `json:"value"`
	Reason  string `json:"reason"`
}

type verdictJSON struct {
	Rule    string        `json:"rule"`
	File    string        `json:"file"`
	Line    int           `json:"line"`
	Denials []*denialJSON `json:"denials,omitempty"`
}

func newExplained(host *hostFiles, spec *brokerv1.UnitSpec, r *policy.Request, e *policy.Explanation) explained {
	out := explained{
		ID: spec.GetId(), Client: e.Client, Command: spec.GetCommand(), Labels: spec.GetLabels(),
		Denial: newDenial(e.Denial), Rules: []verdictJSON{},
	}
	if e.Decision != nil {
		out.Allowed, out.Rule = true, e.Decision.Rule()
		out.Program = host.notAsCalled(r)
	}
	for _, v := range e.Rules {
		rule := verdictJSON{Rule: v.Rule, File: v.File, Line: v.Line}
		for _, d := range v.Denials {
			rule.Denials = append(rule.Denials, newDenial(d))
		}
		out.Rules = append(out.Rules, rule)
	}
	return out
}

func newDenial(d *policy.Denial) *denialJSON {
	if d == nil {
		return nil
	}
	return &denialJSON{d.Subject, d.Value, d.Reason}
}

func printExplained(stdout io.Writer, all []explained) error {
	paint := newPainter(stdout)
	for i, e := range all {
		if i > 0 {
			fmt.Fprint(stdout, "\n")
		}
		fmt.Fprintf(stdout, "%s\n", paint.head(fmt.Sprintf("%s: command %q of client %q", e.ID, e.Command, e.Client)))
		if e.Recorded != "" {
			fmt.Fprintf(stdout, "  recorded: %s\n", e.Recorded)
		}
		switch {
		case e.Program != "":
			fmt.Fprintln(stdout, paint.bad(fmt.Sprintf("  allowed by rule %q, but does not start on this host: %s", e.Rule, e.Program)))
		case e.Allowed:
			fmt.Fprintln(stdout, paint.good(fmt.Sprintf("  allowed by rule %q", e.Rule)))
		default:
			fmt.Fprintln(stdout, paint.bad(fmt.Sprintf("  denied: %s %q: %s", e.Denial.Subject, e.Denial.Value, e.Denial.Reason)))
		}
		if len(e.Rules) == 0 {
			fmt.Fprintln(stdout, "  no rule is for this client")
			continue
		}
		if err := printVerdicts(stdout, paint, e.Rules); err != nil {
			return err
		}
	}
	return nil
}

// printVerdicts prints the table of rules; those that allow are coloured.
func printVerdicts(stdout io.Writer, paint painter, rules []verdictJSON) error {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "  RULE\tWHERE\tFAILS\tFIRST") //nolint:errcheck // Flush tells
	for _, v := range rules {
		first := "nothing: the rule allows it"
		if len(v.Denials) > 0 {
			first = fmt.Sprintf("%s %q", v.Denials[0].Subject, v.Denials[0].Value)
		}
		fmt.Fprintf(table, "  %s\t%s:%d\t%d\t%s\n", v.Rule, v.File, v.Line, len(v.Denials), first) //nolint:errcheck // Flush tells
	}
	if err := table.Flush(); err != nil {
		return err
	}
	head, rest, _ := strings.Cut(text.String(), "\n")
	fmt.Fprintln(stdout, paint.head(head))
	for _, v := range rules {
		var line string
		if line, rest, _ = strings.Cut(rest, "\n"); len(v.Denials) == 0 {
			line = paint.good(line)
		}
		fmt.Fprintln(stdout, line)
	}
	return nil
}

func encodeJSON(stdout io.Writer, v any) error {
	encoder := json.NewEncoder(stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
