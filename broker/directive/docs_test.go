// SPDX-License-Identifier: MPL-2.0

package directive_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"nomad-systemd-driver/broker/directive"
)

var update = flag.Bool("update", false, "write docs/directives.md anew")

const reference = "../../docs/directives.md"

//go:generate go test -run TestReferenceIsCurrent -update

// TestReferenceIsCurrent holds the reference page to the table.
func TestReferenceIsCurrent(t *testing.T) {
	want := page()
	if *update {
		if err := os.WriteFile(reference, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not current; run: go generate ./broker/directive", reference)
	}
}

var classTexts = map[directive.Class]string{
	directive.Safe:      "take rights from the program, or are harmless",
	directive.Resource:  "say what the program takes from others on the host",
	directive.Priority:  "are values, of directives of other classes, that put a unit before others: real time, locked or protected memory, Nice= and OOMScoreAdjust= below 0",
	directive.Identity:  "are about users, groups, capabilities and labels",
	directive.Network:   "reach more of the network",
	directive.HostPath:  "open files and devices of the host",
	directive.Lifecycle: "say how PID 1 starts and stops the unit; no policy can open this class",
	directive.Manager:   "act on other units or on the host; no policy can open this class",
	directive.Code:      "run or mount something as root; no policy can open this class",
}

const introduction = `# Directives

All directives of systemd.exec(5), systemd.resource-control(5), systemd.kill(5),
systemd.service(5) and systemd.unit(5) that a service can have, and what the
broker makes of them. This page is generated from the table in
[broker/directive](../broker/directive/directive.go); the same is shown by
` + "`systemd-brokerd directives`" + `, which explains one in full when it is named.

A directive is *offered* if a policy can let jobs use it, and its values mean what
they mean in a unit file: the last line counts, or lines add to a list and an empty
one clears it. Some things are stricter than in unit files: unknown names are
errors; there are no specifiers (%), quotes and escapes; numbers are decimal
without leading zeros; time spans that systemd keeps in microseconds have no
parts of a millisecond, which it would drop at the next daemon-reload.

*Since* is the first systemd that has the directive, if that is newer than 252.
*Live* ones can be changed while the unit runs.
`

// page is the reference as Markdown.
func page() string {
	var b strings.Builder
	b.WriteString(introduction)
	all, offered := tally(nil)
	fmt.Fprintf(&b, "\n%d of %d directives are offered:\n\n| Class | Offered | Refused | Directives of this class |\n|---|---:|---:|---|\n", offered, all)
	for _, class := range directive.Classes() {
		n, o := tally(&class)
		if class == directive.Priority {
			fmt.Fprintf(&b, "| [%s](#%s) | values of %d | | %s |\n", class, class, len(raising()), classTexts[class])
			continue
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %d | %d | %s |\n", class, class, o, n-o, classTexts[class])
	}
	b.WriteString(figures())
	b.WriteString(replayed())
	for _, class := range directive.Classes() {
		fmt.Fprintf(&b, "\n## %s\n", class)
		if class == directive.Priority {
			b.WriteString("\nValues of directives that are of another class otherwise:\n\n| Directive | Values | Class otherwise |\n|---|---|---|\n")
			for _, d := range raising() {
				fmt.Fprintf(&b, "| %s | %s | %s |\n", d.Name, d.Raises(), d.Class)
			}
			continue
		}
		rows(&b, class)
	}
	return b.String()
}

// raising are the directives with values of class priority.
func raising() []*directive.Directive {
	return slices.DeleteFunc(directive.All(), func(d *directive.Directive) bool { return d.Raises() == "" })
}

// figures are how much the tests try. Those of real systemds compare as much, and fail
// at the first difference.
func figures() string {
	var b strings.Builder
	refused, taken := 0, 0
	for _, d := range offered() {
		n := len(accepted(d, singles(hostile)))
		refused, taken = refused+len(hostile)-n, taken+n
	}
	fmt.Fprintf(&b, "\n## Tried\n\nOf %d values that try to leave their line of a unit file or to mean something else in it, tried with each of\n"+
		"%d directives, %d of %d are refused; the %d others, `x = y` for a text for example, are the same after a daemon-reload.\n\n"+
		"Values that are taken, against what `systemd-run -p` sets for the same text, what a unit file with the same lines\n"+
		"gives, and what is there after a daemon-reload (all properties of the unit and of the service), are compared by\n"+
		"`make e2e RUN=TestRealDirectives`, and a part of them by `make test`. It fails at each difference. There are to compare:\n\n"+
		"| systemd | Directives | Values written by hand | Generated |\n|---|---:|---:|---:|\n",
		len(hostile), len(offered()), refused, refused+taken, taken)
	type both struct{ hand, made []testCase }
	var all []both
	for _, d := range offered() {
		all = append(all, both{tried(d, corpus(), mostByHand), tried(d, generated(), mostGenerated)})
	}
	for _, systemd := range []int{252, 257} {
		directives, hand, made := 0, 0, 0
		for _, c := range all {
			h, g := known(c.hand, systemd), known(c.made, systemd)
			if len(h)+len(g) > 0 {
				directives++
			}
			hand, made = hand+len(h), made+len(g)
		}
		fmt.Fprintf(&b, "| %d | %d | %d | %d |\n", systemd, directives, hand, made)
	}
	return b.String()
}

// known are the cases that a systemd can be asked for.
func known(cases []testCase, systemd int) []testCase {
	return slices.DeleteFunc(slices.Clone(cases), func(c testCase) bool { return c.needs() > systemd })
}

func tally(class *directive.Class) (all, offered int) {
	for _, d := range directive.All() {
		if class != nil && d.Class != *class {
			continue
		}
		all++
		if d.Refusal() == "" {
			offered++
		}
	}
	return all, offered
}

var escape = strings.NewReplacer("|", `\|`, "~", `\~`, "*", `\*`, "_", `\_`, "[", `\[`, "<", "&lt;").Replace

func rows(b *strings.Builder, class directive.Class) {
	head := "\n| Directive | Meaning | Accepts | Since | Live |\n|---|---|---|---|---|\n"
	for _, d := range directive.All() {
		if d.Class != class || d.Refusal() != "" {
			continue
		}
		b.WriteString(head)
		head = ""
		since, live := "", ""
		if d.Since != 0 {
			since = fmt.Sprint(d.Since)
		}
		if d.Live {
			live = "yes"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", d.Name, escape(d.Summary), escape(d.Accepts()), since, live)
	}
	var reasons []string
	refused := make(map[string][]string)
	for _, d := range directive.All() {
		if d.Class != class || d.Refusal() == "" {
			continue
		}
		if refused[d.Refusal()] == nil {
			reasons = append(reasons, d.Refusal())
		}
		refused[d.Refusal()] = append(refused[d.Refusal()], d.Name)
	}
	if len(reasons) > 0 {
		b.WriteString("\nRefused:\n\n")
	}
	for _, reason := range reasons {
		fmt.Fprintf(b, "- %s: %s\n", strings.Join(refused[reason], ", "), escape(reason))
	}
}
