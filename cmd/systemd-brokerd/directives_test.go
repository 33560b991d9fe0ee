// SPDX-License-Identifier: MPL-2.0

package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"nomad-systemd-driver/broker/directive"
)

var update = flag.Bool("update", false, "write docs/directives.md anew")

const reference = "../../docs/directives.md"

// TestReferenceOfDirectivesIsCurrent makes docs/directives.md of the table.
func TestReferenceOfDirectivesIsCurrent(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Directives

Made from the table in the code (` + "`systemd-brokerd directives`" + ` prints it too); after a change of
it: ` + "`testbed/go test ./cmd/systemd-brokerd -run TestReference -update`" + `. What a directive means
in full is in systemd.exec(5), systemd.resource-control(5), systemd.kill(5) and
systemd.service(5).

A job writes directives in ` + "`systemd { NAME = [\"line\", …] }`" + ` of its config block, with the lines
of a unit file. What only tightens its profile needs no permission; for anything else
a rule of the [policy](policy.md) must allow the directive by class or by name. Values
that put a unit before others, such as ` + "`Nice=-5`" + `, are of class priority whatever the table
says.

`)
	for line := range strings.Lines(countDirectives(directive.All())) {
		fmt.Fprintf(&b, "- %s", line)
	}
	section := func(title, columns string, refused bool) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", title, columns)
		for _, d := range directive.All() {
			if (d.Refused != "") != refused {
				continue
			}
			since := "252"
			if d.Since != 0 {
				since = fmt.Sprint(d.Since)
			}
			live := ""
			if d.Live {
				live = "yes"
			}
			last := live
			if refused {
				last = d.Refused
			}
			fmt.Fprintf(&b, "| `%s=` | %s | %s | %s | %s |\n", d.Name, d.Class, since, strings.ReplaceAll(d.Summary, "|", "\\|"), last)
		}
	}
	section("Directives that a policy can allow", "| directive | class | systemd | meaning | can change while the unit runs |\n|---|---|---|---|---|", false)
	section("Directives that none can", "| directive | class | systemd | meaning | why |\n|---|---|---|---|---|", true)
	if *update {
		if err := os.WriteFile(reference, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != b.String() {
		t.Errorf("%s is not current; run this test with -update", reference)
	}
}

func TestDirectivesCommand(t *testing.T) {
	for _, tt := range []struct {
		args       []string
		want, fail string
	}{
		{args: nil, want: "can be allowed, the others never"},
		{args: []string{"--class", "priority"}, want: "LimitRTPRIO"},
		{args: []string{"--class", "nosuch"}, fail: "there is no class"},
		{args: []string{"MemoryHigh="}, want: "MemoryHighScale (u)"},
		{args: []string{"ExecStartPre"}, want: "refused:"},
		{args: []string{"MemryHigh"}, fail: `the nearest is "MemoryHigh"`},
		{args: []string{"--json", "Nice"}, want: `"Name":"Nice"`},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			var out strings.Builder
			err := directives(tt.args, &out, io.Discard)
			if tt.fail != "" && (err == nil || !strings.Contains(err.Error(), tt.fail)) || tt.fail == "" && err != nil {
				t.Errorf("got %v, want %q", err, tt.fail)
			}
			if !strings.Contains(out.String(), tt.want) {
				t.Errorf("got %s", out.String())
			}
		})
	}
}

func TestProfilesCommand(t *testing.T) {
	dir := t.TempDir() // without profiles of its own
	var out strings.Builder
	if err := profiles([]string{"--policy", dir + "/policy.d"}, &out, io.Discard); err != nil || !strings.Contains(out.String(), "strict\t") {
		t.Errorf("got %s, %v", out.String(), err)
	}
	out.Reset()
	if err := profiles([]string{"--policy", dir + "/policy.d", "strict"}, &out, io.Discard); err != nil || !strings.Contains(out.String(), "[Service]") {
		t.Errorf("got %s, %v", out.String(), err)
	}
	if err := profiles([]string{"--policy", dir + "/policy.d", "none"}, &out, io.Discard); err == nil {
		t.Error("a profile that does not exist is printed")
	}
}
