// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pty is a pseudo terminal to write to, and master, where it can be read.
type pty struct {
	*os.File
	master *os.File
}

func terminal(t *testing.T) pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return pty{f, master}
}

func TestColoursAreForTerminalsOnly(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	tty := terminal(t)
	for name, row := range map[string]struct {
		noColor, term string
		want          bool
	}{
		"a terminal":                       {"", "xterm", true},
		"where nobody wants any":           {"1", "xterm", false},
		"a terminal that has none":         {"", "dumb", false},
		"a terminal of which nobody knows": {"", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NO_COLOR", row.noColor)
			t.Setenv("TERM", row.term)
			if got := newPainter(tty.File); got.on != row.want {
				t.Errorf("colours: %v", got.on)
			}
			for what, p := range map[string]painter{"a file": newPainter(file), "/dev/null": newPainter(null), "a buffer": newPainter(&bytes.Buffer{})} {
				if p.on {
					t.Errorf("colours in %s", what)
				}
			}
		})
	}
	if got := (painter{true}).bad("x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("got %q", got)
	}
	if got := (painter{}).bad("x"); got != "x" {
		t.Errorf("got %q", got)
	}
}

// TestTableIsAlignedInColour: escapes take no place.
func TestTableIsAlignedInColour(t *testing.T) {
	rules := []verdictJSON{{Rule: "a", File: "x.hcl", Line: 1}, {Rule: "longer", File: "x.hcl", Line: 2, Denials: []*denialJSON{{Subject: "user", Value: "root"}}}}
	var plain, coloured strings.Builder
	if err := printVerdicts(&plain, painter{}, rules); err != nil {
		t.Fatal(err)
	}
	if err := printVerdicts(&coloured, painter{true}, rules); err != nil {
		t.Fatal(err)
	}
	stripped := strings.NewReplacer("\x1b[1m", "", "\x1b[32m", "", "\x1b[0m", "").Replace(coloured.String())
	if stripped != plain.String() || coloured.String() == plain.String() {
		t.Errorf("got\n%q\n%q", coloured.String(), plain.String())
	}
}
