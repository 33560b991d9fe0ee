// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"nomad-systemd-driver/broker/policy"
)

const starterPolicy = "../../deploy/systemd/policy.d"

func TestStarterPolicyAllowsWhatAJobBringsAndNothingOfTheHost(t *testing.T) {
	p, err := policy.Load(os.DirFS(starterPolicy), host(t), nil)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	for _, row := range []struct {
		name    string
		change  func(*policy.Request)
		subject string // of the denial; empty if allowed
	}{
		{"a program in local/", func(*policy.Request) {}, ""},
		{"a log to the journal", func(r *policy.Request) { r.LogDriver = policy.LogJournal }, ""},
		{"a program of the host", func(r *policy.Request) { r.Command = "/usr/bin/id" }, "command"},
		{"a program in the shared directory", func(r *policy.Request) { r.Command = "/alloc/x" }, "command"},
		{"root", func(r *policy.Request) { r.User = "root" }, "user"},
		{"a user of the host", func(r *policy.Request) { r.User = "www-data" }, "user"},
		{"no memory limit", func(r *policy.Request) { r.Resources.MemoryMax = 0; r.Resources.MemoryUnlimited = true }, "resources"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := allowedRequest()
			row.change(r)
			_, err := p.Decide(policy.Peer{UID: nomadUID}, r)
			if got := subject(err); got != row.subject {
				t.Errorf("denied subject %q (%v), want %q", got, err, row.subject)
			}
		})
	}
}

func TestCommentedRuleOfTheStarterPolicyLoadsWhenItIsUncommented(t *testing.T) {
	text, err := os.ReadFile(starterPolicy + "/10-nomad.hcl")
	if err != nil {
		t.Fatal(err)
	}
	active, example, ok := strings.Cut(string(text), "\n# rule \"host-tools\"")
	if !ok {
		t.Fatal("the starter policy has no rule to uncomment")
	}
	example = regexp.MustCompile(`(?m)^# ?`).ReplaceAllString("# rule \"host-tools\""+example, "")
	p, err := policy.Load(fstest.MapFS{"10-nomad.hcl": {Data: []byte(active + "\n" + example)}}, host(t), nil)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	r := allowedRequest()
	r.Command, r.User = "/usr/bin/id", "www-data"
	d, err := p.Decide(policy.Peer{UID: nomadUID}, r)
	if err != nil || d.Rule() != "host-tools" {
		t.Errorf("Decide: %v, want the rule host-tools", err)
	}
}

// subject is the subject of a denial, empty if err is none.
func subject(err error) string {
	if d, ok := errors.AsType[*policy.Denial](err); ok {
		return d.Subject
	}
	return ""
}
