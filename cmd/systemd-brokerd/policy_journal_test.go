// SPDX-License-Identifier: MPL-2.0

package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"nomad-systemd-driver/broker/policy"
)

// record is a line of journalctl -o json with a decision on aRequest, in which old
// is replaced by new.
func record(t *testing.T, outcome, replacements string, more ...string) string {
	t.Helper()
	if replacements == "" {
		replacements = "|"
	}
	request := strings.NewReplacer(strings.Split(replacements, "|")...).Replace(strings.Join(strings.Fields(aRequest), " "))
	fields := map[string]string{
		"_SYSTEMD_UNIT": "systemd-brokerd.service", "BROKER_CLIENT": "c", "BROKER_OUTCOME": outcome,
		"MESSAGE": "start " + outcome, "BROKER_REQUEST": request,
	}
	for i := 0; i < len(more); i += 2 {
		fields[more[i]] = more[i+1]
	}
	line, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(line) + "\n"
}

const (
	asID     = "/local/web\",|/usr/bin/id\","
	labelled = `"C_TASK"|"C_TASK_NAME"`
)

// suggest runs the command, and adds what it prints to the policy.
func suggest(t *testing.T, dir, journal string) (string, error) {
	t.Helper()
	var out, notes strings.Builder
	err := policySuggest([]string{"--policy", dir}, strings.NewReader(journal), &out, &notes)
	return out.String() + notes.String(), err
}

func TestSuggestedRulesAllowWhatWasDeniedAndNoMore(t *testing.T) {
	dir := policyDir(t, twoRules)
	journal := record(t, "denied", asID+"|"+labelled) +
		record(t, "denied", asID+"|"+labelled+"|JOURNAL|NONE|1048576|2097153") +
		record(t, "denied", `"command"|"directives": [{"name": "Nice", "values": ["5"]}, {"name":"LimitNOFILE","values":["9"]}], "command"|"C_TASK": "web"|"C_TASK_NAME": "a+b"`) +
		record(t, "allowed", "")
	text, err := suggest(t, dir, journal)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, want := range []string{
		`paths = ["/usr/bin/id"]`, `log_drivers = ["journal", "none"]`, `memory_max      = "3MiB"`, `TASK_NAME  = ["web"]`, `TASK_NAME  = ["a+b"]`,
		`LimitNOFILE = ["9"]`, `credentials_max = "1KiB"`, `network     = ["host"]`, "# 2 × ", "dynamic_user = true",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the suggestion lacks %s:\n%s", want, text)
		}
	}
	if strings.Count(text, "rule \"") != 2 {
		t.Errorf("want two rules:\n%s", text)
	}
	if err := os.WriteFile(dir+"/suggested.hcl", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := suggest(t, dir, journal); err != nil || !strings.Contains(again, "none of them a denial") {
		t.Errorf("with the suggestion in the policy: %v\n%s", err, again)
	}
}

func TestSuggestedRulesHoldVolumesGroupsAndFiles(t *testing.T) {
	dir := policyDir(t, twoRules)
	text, err := suggest(t, dir, record(t, "denied", labelled+`|"command"|"group": "daemon", "supplementaryGroups": ["games"], `+
		`"volumes": [{"source": "/srv/web", "destination": "/web", "readOnly": true}, {"source": "/srv/data", "destination": "/data"}], `+
		`"rootfs": {"kind": "KIND_IMAGE", "image": "/srv/images/a"}, "devices": [{"path": "/dev/fuse", "permissions": "rw"}], "command"`))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, want := range []string{
		`groups = ["daemon", "games"]`, `read_only  = ["/srv/web"]`, `read_write = ["/srv/data"]`,
		`rootfs      = ["image"]`, `images      = ["/srv/images/a"]`, `devices     = ["/dev/fuse"]`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the suggestion lacks %s:\n%s", want, text)
		}
	}
}

// TestSuggestionsAreAsNarrowAsWhatWasAsked: values, not names; names, not classes.
func TestSuggestionsAreAsNarrowAsWhatWasAsked(t *testing.T) {
	text, err := suggest(t, policyDir(t, twoRules), record(t, "denied", labelled+`|"command"|"user": "daemon", "env": {"LD_PRELOAD": "", "PYTHONPATH": ""}, "resources": {"memoryMaxBytes": "1048576", "tasksMax": "7"}, `+
		`"credentials": [{"name": "x", "source": "/secrets/x"}], "directives": [{"name": "CPUQuota", "values": ["150%"]}, {"name": "UMask", "values": ["0002"]}, `+
		`{"name": "AmbientCapabilities", "values": ["CAP_NET_BIND_SERVICE"]}, {"name": "CapabilityBoundingSet", "values": ["CAP_NET_BIND_SERVICE"]}, `+
		`{"name": "SystemCallFilter", "values": ["@clock"]}], "command"|"resources": {"memoryMaxBytes": "1048576"},|`))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, want := range []string{
		`capabilities = ["CAP_NET_BIND_SERVICE"]`, `system_users = true`, `names = ["LD_PRELOAD", "PYTHONPATH"]`, `UMask = ["0002"]`,
		`tasks_max   = 7`, `cpu_percent = 150`, `memory_max  = "1MiB"`, `SystemCallFilter = ["@clock"]`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the suggestion lacks %s:\n%s", want, text)
		}
	}
	for _, wider := range []string{"classes", "credentials_max", `names = ["UMask`} {
		if strings.Contains(text, wider) {
			t.Errorf("the suggestion has %s:\n%s", wider, text)
		}
	}
}

// TestNamesCannotWidenSuggestions: the author of a job chooses its name, and "*" in a
// label of a rule is any text.
func TestNamesCannotWidenSuggestions(t *testing.T) {
	for _, name := range []string{"*", "a*", "a$b", "a%b", "${x}", `a\\b`} {
		text, err := suggest(t, policyDir(t, twoRules), record(t, "denied", asID+`|"C_TASK": "web"|"C_TASK_NAME": "`+name+`"`))
		if !errors.Is(err, errDenied) || strings.Contains(text, "\nrule ") || !strings.Contains(text, "TASK_NAME") {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
	text, err := suggest(t, policyDir(t, twoRules), record(t, "denied", strings.Replace(asID, "/usr/bin/id", "/usr/bin/python3.11", 1)+"|"+labelled))
	if err != nil || !strings.Contains(text, "runs what its arguments say") {
		t.Errorf("an interpreter with its version: %v\n%s", err, text)
	}
}

// proving is twoRules with one rule more, which wants proof.
const proving = twoRules + `
identity "c" {
  client    = "c"
  audiences = ["systemd-brokerd"]
  keys      = "/var/lib/k/jwks.json"
}

rule "proven" {
  client           = "c"
  log_drivers      = ["journal"]
  require_identity = true
  exec {
    paths = ["/usr/bin/id"]
  }
  run_as {
    dynamic_user = true
  }
}
`

// provenLabels is a request that can be proven; with a token in between.
const provenLabels = `"C_TASK": "web"|"C_TASK_NAME": "web", "C_JOB_ID": "j", "C_GROUP_NAME": "g", "C_NAMESPACE": "n", "C_ALLOC_ID": "a"`

// TestNoSuggestionGoesRoundProof: where proof is missing no rule without it is
// suggested, and what proved itself must go on doing so.
func TestNoSuggestionGoesRoundProof(t *testing.T) {
	dir := policyDir(t, proving)
	text, err := suggest(t, dir, record(t, "denied", asID+"|"+provenLabels))
	if !errors.Is(err, errDenied) || strings.Contains(text, "\nrule ") || !strings.Contains(text, "no rule helps") || !strings.Contains(text, "there is no token") {
		t.Errorf("without proof: %v\n%s", err, text)
	}
	proven := provenLabels + `|"command"|"identityToken": "proven", "command"`
	if text, err := suggest(t, dir, record(t, "denied", asID+"|"+proven)); err != nil || !strings.Contains(text, "none of them a denial") {
		t.Errorf("with proof: %v\n%s", err, text)
	}
	text, err = suggest(t, dir, record(t, "denied", "/local/web\",|/usr/bin/who\",|"+proven))
	if err != nil || !strings.Contains(text, "require_identity = true") {
		t.Errorf("another program, with proof: %v\n%s", err, text)
	}
}

func TestSuggestInJSON(t *testing.T) {
	var out strings.Builder
	journal := record(t, "denied", asID+"|"+labelled) + record(t, "denied", labelled+`|"command"|"user": "root", "command"`)
	err := policySuggest([]string{"--json", "--policy", policyDir(t, twoRules)}, strings.NewReader(journal), &out, io.Discard)
	var all []suggestion
	if jerr := json.Unmarshal([]byte(out.String()), &all); jerr != nil || !errors.Is(err, errDenied) || len(all) != 2 {
		t.Fatalf("got %v, %v: %s", err, jerr, out.String())
	}
	for _, s := range all {
		if (s.Rule == "") != (s.User == "root") || s.Rule == "" && s.Reason == "" || s.Labels["TASK_NAME"] != "web" || s.Client != "c" {
			t.Errorf("got %+v", s)
		}
	}
}

// TestExplainOfRecords: as the event of a denied task says, by the id of its request.
func TestExplainOfRecords(t *testing.T) {
	dir := policyDir(t, strings.Replace(twoRules, "rule \"near\" {", "rule \"near\" {\n  args {\n    none = true\n  }\n", 1))
	journal := record(t, "denied", asID, "BROKER_REASON", "policy refuses command\nx") + record(t, "denied", "", "_SYSTEMD_UNIT", "c-evil.service") + `{"_SYSTEMD_UNIT":"systemd-brokerd.service","MESSAGE":"unit started"}`
	var out, notes strings.Builder
	err := policyExplain([]string{"--policy", dir}, strings.NewReader(journal), &out, &notes)
	if !errors.Is(err, errDenied) || strings.Count(out.String(), "of client \"c\"") != 1 || !strings.Contains(out.String(), "recorded: denied: command?x\n") || !strings.Contains(out.String(), `command "/usr/bin/id"`) {
		t.Errorf("got %v\n%s", err, out.String())
	}
	if !strings.Contains(notes.String(), "arguments are not recorded") {
		t.Errorf("got %s", notes.String())
	}
	out.Reset()
	session := record(t, "denied", `, "logging": {"driver": "DRIVER_JOURNAL"}|`, "MESSAGE", "session denied", "BROKER_UNIT_RULE", "near", "BROKER_REASON", "policy refuses session x")
	if err := policyExplain([]string{"--policy", dir}, strings.NewReader(session), &out, io.Discard); !errors.Is(err, errDenied) || !strings.Contains(out.String(), "recorded: denied: session x") || !strings.Contains(out.String(), `near  a.hcl:18  1      session "/local/web"`) {
		t.Errorf("of a session: %v\n%s", err, out.String())
	}
	for name, text := range map[string]string{
		"foreign records":   record(t, "denied", "", "_SYSTEMD_UNIT", "c-evil.service"),
		"an old session":    record(t, "denied", "", "MESSAGE", "session denied"),
		"an unknown client": record(t, "denied", "", "BROKER_CLIENT", "x"),
	} {
		err := policyExplain([]string{"--policy", dir}, strings.NewReader(text), io.Discard, io.Discard)
		if _, ok := errors.AsType[mistakeError](err); !ok {
			t.Errorf("%s: got %v, want a mistake", name, err)
		}
	}
}

func TestSuggestSaysWhereNoRuleHelps(t *testing.T) {
	dir := policyDir(t, twoRules+"never \"n\" {\n  exec {\n    paths = [\"/usr/bin/id\"]\n  }\n}\n")
	journal := record(t, "denied", asID+"|"+labelled) + record(t, "denied", labelled+`|"command"|"user": "root", "command"`)
	text, err := suggest(t, dir, journal)
	if !errors.Is(err, errDenied) || strings.Contains(text, "\nrule \"suggested") || strings.Count(text, "no rule helps") != 2 {
		t.Errorf("got %v\n%s", err, text)
	}
}

func TestOnlyTheBrokersRecordsCount(t *testing.T) {
	journal := record(t, "denied", "", "_SYSTEMD_UNIT", "c-evil.service") + "\n" +
		record(t, "denied", "", "BROKER_REQUEST", "{") +
		record(t, "denied", "", "BROKER_REQUEST_INCOMPLETE", "1") +
		`{"_SYSTEMD_UNIT": "systemd-brokerd.service", "BROKER_REQUEST": null, "MESSAGE": [1, 2]}` + "\n" +
		record(t, "denied", "", "MESSAGE", "session denied")
	all, skipped, err := journalRecords(strings.NewReader(journal))
	if err != nil || len(all) != 1 || skipped != 3 || !all[0].session || !all[0].denied {
		t.Errorf("got %+v, %d skipped, %v", all, skipped, err)
	}
	for _, text := range []string{"x\n", strings.Repeat("x", maxRecord+1)} {
		if _, _, err := journalRecords(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "line 1 is") {
			t.Errorf("got %v", err)
		}
	}
}

func TestDiffListsWhatIsAnsweredOtherwise(t *testing.T) {
	before, after := policyDir(t, twoRules), policyDir(t, strings.Replace(twoRules, `"journal"`, `"none"`, 1)+"never \"n\" {\n  sessions = true\n}\n")
	journal := record(t, "allowed", "") + record(t, "allowed", `"a/web"|"b/web"`) + record(t, "denied", "JOURNAL|NONE") + record(t, "denied", asID) +
		record(t, "allowed", `, "logging": {"driver": "DRIVER_JOURNAL"}|`, "MESSAGE", "session allowed", "BROKER_RULE", "near") +
		record(t, "denied", "", "MESSAGE", "session denied")
	var out, notes strings.Builder
	err := policyDiff([]string{before, after}, strings.NewReader(journal), &out, &notes)
	if !errors.Is(err, errDenied) || !strings.Contains(out.String(), "5 requests, 3 answered otherwise") || !strings.Contains(notes.String(), "1 requests are not answered") {
		t.Errorf("got %v\n%s%s", err, out.String(), notes.String())
	}
	if !strings.Contains(out.String(), "2 × unit of client \"c\": command \"/local/web\" as an ephemeral user, C_TASK=web\n  - allowed by rule \"near\"\n  + denied: log driver \"journal\"") {
		t.Errorf("got %s", out.String())
	}
	out.Reset()
	if err := policyDiff([]string{before, before}, strings.NewReader(journal), &out, io.Discard); err != nil {
		t.Errorf("a policy and itself: %v\n%s", err, out.String())
	}
	if err := policyDiff([]string{"--requests", "-", before, after}, strings.NewReader(aRequest), io.Discard, io.Discard); !errors.Is(err, errDenied) {
		t.Errorf("of a file of requests: %v", err)
	}
	if err := policyDiff([]string{before, after}, strings.NewReader(""), io.Discard, io.Discard); err == nil || errors.Is(err, errDenied) {
		t.Errorf("of nothing: %v", err)
	}
}

func TestStarterPolicyLoads(t *testing.T) {
	for name, h := range map[string]starterHost{
		"a host with all": {User: "root-is-not-it", AllocDir: "/srv/alloc", MemoryMax: "1GiB", Programs: "/usr/bin/sh", Example: "/usr/bin/sh", Users: []string{"a", "b"}},
		"a bare host":     {User: "daemon", AllocDir: "/srv/alloc", MemoryMax: "16GiB", Example: "/usr/bin/sh", Missing: true, Guessed: true},
	} {
		t.Run(name, func(t *testing.T) {
			h.User = "daemon" // every host has it
			text, err := starterPolicy(h)
			if err != nil {
				t.Fatal(err)
			}
			dir := policyDir(t, string(text))
			p, err := new(hostFiles).read(dir)
			if err != nil {
				t.Fatal(err)
			}
			if c, err := clientOf(p, "nomad"); err != nil || c.AllocRoot != "/srv/alloc" {
				t.Errorf("got %+v, %v", c, err)
			}
			uncommented := strings.ReplaceAll(string(text), "# rule \"host-tools\"", "rule \"host-tools\"")
			head, rule, _ := strings.Cut(uncommented, "rule \"host-tools\"")
			rule, tail, _ := strings.Cut("rule \"host-tools\""+rule, "\n\n# With it")
			rule = strings.ReplaceAll(rule, "\n# ", "\n")
			rule = strings.ReplaceAll(rule, "\n#", "\n")
			if _, err := new(hostFiles).read(policyDir(t, head+rule+"\n\n# With it"+tail)); err != nil {
				t.Errorf("with the example in force: %v", err)
			}
		})
	}
	var out strings.Builder
	if err := policyInit(nil, nil, &out, io.Discard); err != nil || !strings.Contains(out.String(), "version = 1") {
		t.Errorf("policy init: %v", err)
	}
	if err := policyInit([]string{"--user", `a"b`}, nil, io.Discard, io.Discard); err == nil {
		t.Error("a user that cannot be written is accepted")
	}
}

func FuzzJournalRecords(f *testing.F) {
	f.Add([]byte(`{"_SYSTEMD_UNIT":"systemd-brokerd.service","BROKER_OUTCOME":"denied","BROKER_CLIENT":"c","BROKER_REQUEST":"{\"id\":\"a\"}"}`))
	p := policy.DenyAll()
	f.Fuzz(func(_ *testing.T, text []byte) {
		all, _, err := journalRecords(strings.NewReader(string(text)))
		if err == nil {
			wishesOf(p, all)
			changesOf(p, p, all)
		}
	})
}
