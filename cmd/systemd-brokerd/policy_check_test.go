// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckReportsWarningsAndMistakes(t *testing.T) {
	report := newCheckReport(readPolicy(policyDir(t, twoRules)))
	if report.SHA256 == "" || report.Mistake != nil || len(report.Warnings) != 1 || report.Warnings[0].Line != 11 || !strings.Contains(report.Warnings[0].Text, "no run_as") {
		t.Errorf("got %+v", report)
	}
	report = newCheckReport(readPolicy(policyDir(t, strings.Replace(proving, "/var/lib/k/jwks.json", "/etc/passwd", 1))))
	if n := len(report.Warnings); n == 0 || !strings.Contains(report.Warnings[n-1].Text, "keys cannot be used: /etc/passwd: this is not a set of keys") {
		t.Errorf("of keys that are none: %+v", report.Warnings)
	}
	report = newCheckReport(readPolicy(policyDir(t, twoRules+"x = 1\n")))
	if m := report.Mistake; m == nil || m.File != "a.hcl" || m.Line != 28 || m.Column != 1 || !strings.Contains(m.Problem, `"x"`) {
		t.Errorf("got %+v", report.Mistake)
	}
	if m := newCheckReport(nil, errors.New("no directory")).Mistake; m == nil || m.Problem != "no directory" {
		t.Errorf("got %+v", m)
	}
}
