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

const twoRules = `version = 1

client "c" {
  uid         = 4000
  unit_prefix = "c"
  slice       = "c.slice"
  alloc_root  = "/srv/alloc"
  max_units   = 10
}

rule "far" {
  client = "c"
  exec {
    under = ["/alloc"]
  }
}

rule "near" {
  client      = "c"
  log_drivers = ["journal"]
  exec {
    under = ["/local"]
  }
  run_as {
    dynamic_user = true
  }
}
`

const aRequest = `{"id": "a/web", "command": "/local/web", "labels": {"C_TASK": "web"},
  "directories": {"alloc": "/srv/alloc/a/alloc", "local": "/srv/alloc/a/web/local", "secrets": "/srv/alloc/a/web/secrets"},
  "resources": {"memoryMaxBytes": "1048576"}, "logging": {"driver": "DRIVER_JOURNAL"}}`

// policyDir is a directory with the policy.
func policyDir(t *testing.T, text string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "policy.d")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "a.hcl"), []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestExplainSaysWhatEachRuleMakesOfTheRequest(t *testing.T) {
	dir := policyDir(t, twoRules)
	denied := strings.Replace(aRequest, "DRIVER_JOURNAL", "DRIVER_FDS", 1)
	var out strings.Builder
	if err := policyExplain([]string{"--policy", dir}, strings.NewReader(aRequest), &out, io.Discard); err != nil {
		t.Errorf("an allowed request: %v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), `allowed by rule "near"`) {
		t.Errorf("got %s", out.String())
	}
	out.Reset()
	if err := policyExplain([]string{"--policy", dir}, strings.NewReader(aRequest+denied), &out, io.Discard); !errors.Is(err, errDenied) {
		t.Errorf("a denied request: %v", err)
	}
	_, second, _ := strings.Cut(out.String(), "\n\n")
	near, far := strings.Index(second, "near"), strings.Index(second, "far")
	if near < 0 || far < near || !strings.Contains(second, `a.hcl:18`) || !strings.Contains(second, `log driver "fds"`) || !strings.Contains(second, `command "/local/web"`) {
		t.Errorf("the nearest miss is not first, or something is missing:\n%s", second)
	}
}

func TestExplainInJSON(t *testing.T) {
	var out strings.Builder
	denied := strings.Replace(aRequest, "/local/web\", \"labels", "/usr/bin/id\", \"labels", 1)
	err := policyExplain([]string{"--json", "--policy", policyDir(t, twoRules)}, strings.NewReader(denied), &out, io.Discard)
	var all []explained
	if jerr := json.Unmarshal([]byte(out.String()), &all); jerr != nil || !errors.Is(err, errDenied) || len(all) != 1 {
		t.Fatalf("got %v, %v: %s", err, jerr, out.String())
	}
	if e := all[0]; e.Allowed || e.Denial.Subject != "command" || len(e.Rules) != 2 || e.Rules[0].Line == 0 || e.Client != "c" {
		t.Errorf("got %+v", e)
	}
}

func TestExplainFailsOnMistakes(t *testing.T) {
	dir := policyDir(t, twoRules)
	for name, row := range map[string]struct {
		args    []string
		request string
		want    string
	}{
		"two jobs":           {nil, `{"Job": {}}{"Job": {}}`, "request 1: this is a job, of which there can be one"},
		"a job and requests": {nil, aRequest + `{"Job": {}}`, "request 2: this is a job, of which there can be one"},
		"a job file":         {nil, `job "x" {`, "a job file is known by its name"},
		"a job, of nobody":   {[]string{"--client", "x"}, `{"Job": {}}`, "no client"},
		"nothing":            {nil, ``, "no request"},
		"no JSON":            {nil, `{`, "not JSON"},
		"a field of another": {nil, `{"comand": "x"}`, "not a request"},
		"a malformed one":    {nil, `{"id": "a"}`, "request 1: "},
		"no such client":     {[]string{"--client", "x"}, aRequest, "no client"},
		"no such file":       {[]string{"/nonexistent"}, "", "no such file"},
	} {
		err := policyExplain(append([]string{"--policy", dir}, row.args...), strings.NewReader(row.request), io.Discard, io.Discard)
		if _, ok := errors.AsType[mistakeError](err); !ok || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want a mistake with %q", name, err, row.want)
		}
	}
}

func FuzzReadSpec(f *testing.F) {
	f.Add([]byte(aRequest))
	f.Fuzz(func(t *testing.T, text []byte) {
		if spec, err := readSpec(text); err == nil && spec == nil {
			t.Error("neither a request nor an error")
		}
	})
}
