// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

// command runs the program and returns what it printed.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), args, &out, io.Discard)
	return out.String(), err
}

func TestDirectivesAreListedWithTheirNumber(t *testing.T) {
	out, err := command(t, "directives")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ProtectHome ", "refused: ", " directives offered, ", "offered by class: safe ", "code 0 of "} {
		if !strings.Contains(out, want) {
			t.Errorf("the list does not hold %q", want)
		}
	}
	some, err := command(t, "directives", "--class", "identity")
	if err != nil || !strings.Contains(some, "AmbientCapabilities") || strings.Contains(some, "ProtectHome") {
		t.Errorf("the class identity has %s, %v", some, err)
	}
	values, err := command(t, "directives", "--class", "priority")
	for _, want := range []string{"values below 0: ", "values fifo and rr: ", "16 of 16 directives offered", "priority 16 of 16"} {
		if err != nil || !strings.Contains(values, want) {
			t.Errorf("the class priority lacks %q, %v:\n%s", want, err, values)
		}
	}
}

func TestADirectiveIsExplained(t *testing.T) {
	for _, args := range [][]string{{"ProtectHome"}, {"ProtectHome="}, {"ProtectHome", "--class", "safe"}} {
		out, err := command(t, append([]string{"directives"}, args...)...)
		if err != nil || !strings.Contains(out, "accepts    one of no, read-only, tmpfs, yes") || !strings.Contains(out, "systemd.exec(5)") {
			t.Errorf("%q gives %s, %v", args, out, err)
		}
	}
	out, err := command(t, "directives", "ExecStartPre")
	if err != nil || !strings.Contains(out, "refused    PID 1 would run it again") {
		t.Errorf("a refused directive gives %s, %v", out, err)
	}
}

func TestDirectivesAsJSON(t *testing.T) {
	out, err := command(t, "directives", "--json", "MemoryHigh")
	var got []struct {
		Name       string
		Offered    bool
		Live       bool
		Properties []struct{ Name, Signature string }
	}
	if err != nil || json.Unmarshal([]byte(out), &got) != nil || len(got) != 1 || !got[0].Offered || !got[0].Live ||
		len(got[0].Properties) != 2 || got[0].Properties[0].Signature != "t" {
		t.Errorf("got %s, %v", out, err)
	}
}

func TestWrongDirectivesHelp(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"ProtectHom"}, "did you mean ProtectHome?"},
		{[]string{"Frobnicate"}, "without a name, all are listed"},
		{[]string{"--class", "nope"}, "classes are safe, resource"},
		{[]string{"--class", "code", "ProtectHome"}, "is of class safe"},
	}
	for _, test := range tests {
		if _, err := command(t, append([]string{"directives"}, test.args...)...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q gives %v, want %q", test.args, err, test.want)
		}
	}
	if _, err := command(t, "directives", "A", "B"); !errors.Is(err, errUsage) {
		t.Errorf("two names give %v", err)
	}
}
