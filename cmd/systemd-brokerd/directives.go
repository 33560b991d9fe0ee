// SPDX-License-Identifier: MPL-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"nomad-systemd-driver/broker/directive"
	"nomad-systemd-driver/broker/policy"
)

// directives prints the table of directives, or one of them.
func directives(args []string, stdout, stderr io.Writer) error {
	flags := newFlags("systemd-brokerd directives", `Usage: systemd-brokerd directives [flags] [NAME]

Lists the directives of systemd that a policy can let jobs write, and those that
none can, with the reason; or explains one. Policy rules allow them by class or
name: directives { classes = ["resource"] names = ["AmbientCapabilities"] }.`, stderr)
	class := flags.String("class", "", "only those of one class: "+fmt.Sprint(directive.Classes))
	asJSON := flags.Bool("json", false, "print JSON, an object a line")
	if err := flags.Parse(args); err != nil {
		return usageError(err)
	}
	if flags.NArg() > 1 {
		flags.Usage()
		return errUsage
	}
	all := directive.All()
	if name := flags.Arg(0); name != "" {
		d, ok := directive.Lookup(strings.TrimSuffix(name, "="))
		if !ok {
			like, _ := directive.Nearest(name)
			return fmt.Errorf("there is no directive %q; the nearest is %q", name, like)
		}
		all = []*directive.Directive{d}
	}
	if c := directive.Class(*class); c != "" {
		if !slices.Contains(directive.Classes, c) {
			return fmt.Errorf("there is no class %q; there are %v", c, directive.Classes)
		}
		all = slices.DeleteFunc(all, func(d *directive.Directive) bool { return d.Class != c })
	}
	switch {
	case *asJSON:
		return directivesJSON(all, stdout)
	case flags.Arg(0) != "":
		explainDirective(all[0], stdout)
		return nil
	}
	return listDirectives(all, stdout)
}

func directivesJSON(all []*directive.Directive, stdout io.Writer) error {
	encoder := json.NewEncoder(stdout)
	encoder.SetEscapeHTML(false)
	for _, d := range all {
		if err := encoder.Encode(struct {
			Name, Class    string
			Since          int `json:",omitempty"`
			Live           bool
			Summary        string
			Refused        string `json:",omitempty"`
			DBusProperties []directive.Bus
		}{d.Name, string(d.Class), d.Since, d.Live, d.Summary, d.Refused, d.Buses}); err != nil {
			return err
		}
	}
	return nil
}

func explainDirective(d *directive.Directive, stdout io.Writer) {
	fmt.Fprintf(stdout, "%s=\n  %s\n\n  class:     %s\n", d.Name, d.Summary, d.Class)
	for _, b := range d.Buses {
		fmt.Fprintf(stdout, "  on D-Bus:  %s (%s)\n", b.Name, b.Signature)
	}
	if d.Since != 0 {
		fmt.Fprintf(stdout, "  systemd:   %d or newer\n", d.Since)
	}
	if of, ok := d.ExceptionOf(); ok {
		fmt.Fprintf(stdout, "  allowed:   also without the policy, together with %s=\n", of)
	}
	if d.Refused != "" {
		fmt.Fprintf(stdout, "  refused:   %s\n", d.Refused)
	}
}

func listDirectives(all []*directive.Directive, stdout io.Writer) error {
	table := tabwriter.NewWriter(stdout, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprint(table, "DIRECTIVE\tCLASS\tSYSTEMD\tMEANING\n")
	for _, d := range all {
		since, class := "", string(d.Class)
		if d.Since != 0 {
			since = fmt.Sprint(d.Since)
		}
		if d.Refused != "" {
			class += " (refused)"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", d.Name, class, since, d.Summary)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\n%s", countDirectives(all))
	return nil
}

// countDirectives says how many of each class are offered.
func countDirectives(all []*directive.Directive) string {
	var b strings.Builder
	offered := 0
	for _, c := range directive.Classes {
		of, yes := 0, 0
		for _, d := range all {
			if d.Class == c {
				of++
				if d.Refused == "" {
					yes++
				}
			}
		}
		if offered += yes; of > 0 {
			fmt.Fprintf(&b, "%s: %d of %d can be allowed\n", c, yes, of)
		}
	}
	fmt.Fprintf(&b, "all: %d of %d can be allowed, the others never\n", offered, len(all))
	return b.String()
}

// profiles lists the profiles of this host, or prints one.
func profiles(args []string, stdout, stderr io.Writer) error {
	flags := newFlags("systemd-brokerd profiles", `Usage: systemd-brokerd profiles [flags] [NAME]

Lists the profiles that rules of the policy can name, or prints one as a file to
start an own one from: systemd-brokerd profiles strict >/etc/systemd-brokerd/profiles/mine.conf`, stderr)
	dir := flags.String("policy", defaultPolicyDir, "directory with the policy's *.hcl files; own profiles lie in profiles/ beside it")
	if err := flags.Parse(args); err != nil {
		return usageError(err)
	}
	if flags.NArg() > 1 {
		flags.Usage()
		return errUsage
	}
	own, err := ownProfiles(*dir)
	if err != nil {
		return err
	}
	all, err := policy.Profiles(own)
	if err != nil {
		return err
	}
	if name := flags.Arg(0); name != "" {
		p := all[name]
		if p == nil {
			return fmt.Errorf("there is no profile %q; systemd-brokerd profiles lists all", name)
		}
		fmt.Fprint(stdout, p.Text)
		return nil
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(stdout, "%s\t%d directives\n", name, len(all[name].Directives))
	}
	return nil
}
