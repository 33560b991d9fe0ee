// SPDX-License-Identifier: MPL-2.0

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"nomad-systemd-driver/broker/directive"
)

// listDirectives shows the table of directives, or one of them.
func listDirectives(args []string, stdout, stderr io.Writer) error {
	flags := newFlags("systemd-brokerd directives",
		`Lists the systemd directives the broker knows, or explains the one named.
Usage: systemd-brokerd directives [--class CLASS] [--json] [NAME]`, stderr)
	class := flags.String("class", "", "only directives of this `class`")
	asJSON := flags.Bool("json", false, "print JSON")
	name, err := parseName(flags, args)
	if err != nil {
		return err
	}
	if *class != "" && !slices.Contains(directive.Classes(), directive.Class(*class)) {
		return fmt.Errorf("there is no class %q; classes are %s", *class, classNames())
	}
	var chosen []*directive.Directive
	for _, d := range directive.All() {
		if (*class == "" || d.Class == directive.Class(*class) || raises(d, *class)) && (name == "" || d.Name == name) {
			chosen = append(chosen, d)
		}
	}
	switch {
	case name != "" && len(chosen) == 0:
		return unknownDirective(name)
	case *asJSON:
		return printJSON(stdout, chosen)
	case name != "":
		explainDirective(stdout, chosen[0])
		return nil
	}
	return printDirectives(stdout, chosen, directive.Class(*class))
}

// raises reports whether class is priority, of which there are values and no
// directives, and d has such values.
func raises(d *directive.Directive, class string) bool {
	return directive.Class(class) == directive.Priority && d.Raises() != ""
}

// parseName reads flags and at most one name, in any order.
func parseName(flags *flag.FlagSet, args []string) (string, error) {
	name := ""
	for {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return "", err
			}
			return "", errUsage
		}
		if flags.NArg() == 0 {
			return name, nil
		}
		if name != "" {
			fmt.Fprintf(flags.Output(), "%s: unexpected argument %q\n", flags.Name(), flags.Arg(0))
			flags.Usage()
			return "", errUsage
		}
		name, args = strings.TrimSuffix(flags.Arg(0), "="), flags.Args()[1:]
	}
}

func classNames() string {
	var names []string
	for _, c := range directive.Classes() {
		names = append(names, string(c))
	}
	return strings.Join(names, ", ")
}

func unknownDirective(name string) error {
	if d, ok := directive.Lookup(name); ok {
		return fmt.Errorf("directive %s is of class %s", name, d.Class)
	}
	if near, ok := directive.Nearest(name); ok {
		return fmt.Errorf("there is no directive %q; did you mean %s?", name, near)
	}
	return fmt.Errorf("there is no directive %q; without a name, all are listed", name)
}

func printDirectives(stdout io.Writer, chosen []*directive.Directive, class directive.Class) error {
	var rows strings.Builder
	rows.WriteString("DIRECTIVE\tCLASS\tSINCE\tLIVE\tMEANING\n")
	type count struct{ offered, all int }
	counts := make(map[directive.Class]count)
	offered := 0
	for _, d := range chosen {
		since, live, meaning := "", "", d.Summary
		if d.Since != 0 {
			since = fmt.Sprint(d.Since)
		}
		if d.Live {
			live = "yes"
		}
		of := d.Class
		if class == directive.Priority {
			of, meaning = class, "values "+d.Raises()+": "+meaning
		}
		c := counts[of]
		c.all++
		if d.Refusal() == "" {
			c.offered++
			offered++
		} else {
			meaning = "refused: " + d.Refusal()
		}
		counts[of] = c
		fmt.Fprintf(&rows, "%s\t%s\t%s\t%s\t%s\n", d.Name, of, since, live, meaning)
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	if _, err := io.WriteString(table, rows.String()); err != nil {
		return err
	}
	if err := table.Flush(); err != nil {
		return err
	}
	var parts []string
	for _, class := range directive.Classes() {
		if c := counts[class]; c.all > 0 {
			parts = append(parts, fmt.Sprintf("%s %d of %d", class, c.offered, c.all))
		}
	}
	_, err := fmt.Fprintf(stdout, "\n%d of %d directives offered, %d refused; offered by class: %s\n",
		offered, len(chosen), len(chosen)-offered, strings.Join(parts, ", "))
	return err
}

func explainDirective(stdout io.Writer, d *directive.Directive) {
	fmt.Fprintf(stdout, "%s: %s\n\n", d.Name, d.Summary)
	line := func(name, text string) { fmt.Fprintf(stdout, "%-10s %s\n", name, text) }
	line("class", string(d.Class))
	if d.Raises() != "" {
		line("", "priority, for values "+d.Raises())
	}
	if d.Refusal() == "" {
		line("accepts", d.Accepts())
	} else {
		line("refused", d.Refusal())
	}
	since := "252 or older"
	if d.Since != 0 {
		since = fmt.Sprint(d.Since)
	}
	line("since", "systemd "+since)
	line("live", map[bool]string{true: "can be changed while the unit runs", false: "is set when the unit starts"}[d.Live])
	for _, b := range d.Buses {
		line("property", b.Name+" ("+b.Signature+")")
	}
	line("manual", "systemd."+map[string]string{"cgroup": "resource-control"}[d.Group]+strings.TrimPrefix(d.Group, "cgroup")+"(5)")
}

func printJSON(stdout io.Writer, chosen []*directive.Directive) error {
	type entry struct {
		Name       string          `json:"name"`
		Class      directive.Class `json:"class"`
		Summary    string          `json:"summary"`
		Offered    bool            `json:"offered"`
		Refused    string          `json:"refused,omitempty"`
		Accepts    string          `json:"accepts,omitempty"`
		Since      int             `json:"since,omitempty"`
		Live       bool            `json:"live"`
		Properties []directive.Bus `json:"properties"`
	}
	entries := make([]entry, 0, len(chosen))
	for _, d := range chosen {
		entries = append(entries, entry{d.Name, d.Class, d.Summary, d.Refusal() == "", d.Refusal(), d.Accepts(), d.Since, d.Live, d.Buses})
	}
	encoder := json.NewEncoder(stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(entries)
}
