// SPDX-License-Identifier: MPL-2.0

package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checked is what is said of a policy on this host.
func checked(t *testing.T, text string) *checkReport {
	t.Helper()
	host := &hostFiles{}
	p, err := host.read(policyDir(t, text))
	return newCheckReport(p, err, host)
}

func TestCheckReportsWarningsAndMistakes(t *testing.T) {
	report := checked(t, twoRules)
	if report.SHA256 == "" || report.Mistake != nil || len(report.Warnings) != 2 || report.Warnings[1].Line != 11 || !strings.Contains(report.Warnings[1].Text, "no run_as") ||
		!strings.Contains(report.Warnings[0].Text, "alloc_root /srv/alloc is not on this host") {
		t.Errorf("got %+v", report)
	}
	report = checked(t, strings.Replace(proving, "/var/lib/k/jwks.json", "/etc/passwd", 1))
	if n := len(report.Warnings); n == 0 || !strings.Contains(report.Warnings[n-1].Text, "keys cannot be used: /etc/passwd: this is not a set of keys") {
		t.Errorf("of keys that are none: %+v", report.Warnings)
	}
	report = checked(t, twoRules+"x = 1\n")
	if m := report.Mistake; m == nil || m.File != "a.hcl" || m.Line != 28 || m.Column != 1 || !strings.Contains(m.Problem, `"x"`) {
		t.Errorf("got %+v", report.Mistake)
	}
	if m := newCheckReport(nil, errors.New("no directory"), &hostFiles{}).Mistake; m == nil || m.Problem != "no directory" {
		t.Errorf("got %+v", m)
	}
}

// otherHost is the users and groups of a host that is not this one.
func otherHost(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	passwd, group := filepath.Join(dir, "passwd"), filepath.Join(dir, "group")
	err := errors.Join(
		os.WriteFile(passwd, []byte("nomad-of-there:x:991:991::/:/bin/false\ntask-of-there:x:2000:2000::/:/bin/false\n"), 0o600),
		os.WriteFile(group, []byte("nomad-of-there:x:991:\ntask-of-there:x:2000:\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return []string{"--passwd", passwd, "--group", group}
}

// TestToolsAskAboutOtherHosts whose users this one does not have.
func TestToolsAskAboutOtherHosts(t *testing.T) {
	text := strings.Replace(twoRules, "uid         = 4000", `user        = "nomad-of-there"`, 1)
	text = strings.Replace(text, "dynamic_user = true", `users = ["task-of-there"]`, 1)
	dir := policyDir(t, text)
	if err := os.WriteFile(filepath.Join(dir, "a.policytest.hcl"), []byte("version = 1\ntest \"t\" {\n command = \"/local/x\"\n user = \"task-of-there\"\n log_driver = \"journal\"\n allow = \"near\"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	there := append([]string{"--policy", dir}, otherHost(t)...)
	asked := strings.Replace(aRequest, `"command"`, `"user": "task-of-there", "command"`, 1)
	for name, row := range map[string]struct {
		tool  func([]string, io.Reader, io.Writer, io.Writer) error
		stdin string
	}{
		"check": {policyCheck, ""}, "test": {policyTest, ""}, "explain": {policyExplain, asked},
	} {
		var out strings.Builder
		if err := row.tool(there, strings.NewReader(row.stdin), &out, io.Discard); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out.String())
		}
		if name == "check" && strings.Contains(out.String(), "on this host") {
			t.Errorf("check speaks of this host:\n%s", out.String())
		}
		for _, args := range [][]string{there[:2], there[:4]} {
			if err := row.tool(args, strings.NewReader(row.stdin), io.Discard, io.Discard); err == nil {
				t.Errorf("%s with %q works", name, args)
			}
		}
	}
}

func TestMistakesAreJSONWhereItIsAskedFor(t *testing.T) {
	dir := policyDir(t, twoRules+"x = 1\n")
	for _, flag := range []string{"--json", "-json", "--json=true"} {
		args := []string{"--policy", dir, flag}
		var out strings.Builder
		err := orJSON(args, &out, policyTest(args, nil, io.Discard, io.Discard))
		var report checkReport
		if jerr := json.Unmarshal([]byte(out.String()), &report); jerr != nil || report.Mistake == nil || report.Mistake.Line != 28 || report.Mistake.File != "a.hcl" {
			t.Errorf("%s: %v, %v: %s", flag, err, jerr, out.String())
		}
		if _, ok := errors.AsType[mistakeError](err); !ok {
			t.Errorf("%s: the mistake became %v", flag, err)
		}
	}
	var out strings.Builder
	if _ = orJSON(nil, &out, mistake(errors.New("x"))); out.String() != "" {
		t.Errorf("without --json: %s", out.String())
	}
}

const aTest = "version = 1\ntest \"t\" {\n  command = \"/local/web\"\n  log_driver = \"journal\"\n  allow = \"near\"\n}\n"

// TestEveryToolPrintsJSON, and nothing else.
func TestEveryToolPrintsJSON(t *testing.T) {
	dir, other := policyDir(t, twoRules), policyDir(t, strings.Replace(twoRules, `"journal"`, `"fds"`, 1))
	request := filepath.Join(t.TempDir(), "request.json")
	if err := errors.Join(os.WriteFile(request, []byte(aRequest), 0o600), os.WriteFile(filepath.Join(dir, "a.policytest.hcl"), []byte(aTest), 0o600)); err != nil {
		t.Fatal(err)
	}
	args := map[string][]string{
		"check": {"--policy", dir, "--passwd", "/etc/passwd", "--group", "/etc/group"}, "diff": {"--requests", request, dir, other},
		"explain": {"--policy", dir, request}, "init": nil, "suggest": {"--policy", dir}, "test": {"--policy", dir},
	}
	for tool, run := range policyTools {
		var out strings.Builder
		err := run(append([]string{"--json"}, args[tool]...), strings.NewReader(""), &out, io.Discard)
		if _, ok := errors.AsType[mistakeError](err); ok || !json.Valid([]byte(out.String())) {
			t.Errorf("%s: %v\n%s", tool, err, out.String())
		}
	}
}

// TestExplainTellsOfAProgramThatDoesNotStart on this host, whatever the policy says.
func TestExplainTellsOfAProgramThatDoesNotStart(t *testing.T) {
	dir := policyDir(t, strings.Replace(twoRules, `under = ["/local"]`, `under = ["/local", "/usr"]`, 1))
	asked := strings.Replace(aRequest, "/local/web\", \"labels", "/usr/nowhere/web\", \"labels", 1)
	var out strings.Builder
	if err := policyExplain([]string{"--policy", dir}, strings.NewReader(asked), &out, io.Discard); !errors.Is(err, errDenied) {
		t.Errorf("got %v", err)
	}
	if want := `allowed by rule "near", but does not start on this host: command "/usr/nowhere/web" cannot be looked at`; !strings.Contains(out.String(), want) {
		t.Errorf("%q is missing in\n%s", want, out.String())
	}
}
