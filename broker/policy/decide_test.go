// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nomad-systemd-driver/broker/policy"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestDecide asks each policy testdata/decide/*/policy.hcl about the requests
// beside it, NAME.json, and compares the answer with NAME.golden. A request
// holds only what differs from allowedRequest, and peer if it is not nomad.
func TestDecide(t *testing.T) {
	requests, err := filepath.Glob("testdata/decide/*/*.json")
	if err != nil || len(requests) == 0 {
		t.Fatalf("found no requests: %v", err)
	}
	for _, path := range requests {
		name := strings.TrimSuffix(path, ".json")
		t.Run(strings.TrimPrefix(name, "testdata/decide/"), func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(filepath.Dir(path), "policy.hcl"))
			if err != nil {
				t.Fatal(err)
			}
			peer, r := readRequest(t, path)
			d, err := load(t, string(text)).Decide(peer, r)
			if (d == nil) == (err == nil) {
				t.Fatalf("Decide = %v, %v: want one of the two", d, err)
			}
			if allow := strings.HasPrefix(filepath.Base(path), "allow-"); allow && err != nil {
				t.Errorf("denied: %v", err)
			} else if deny := strings.HasPrefix(filepath.Base(path), "deny-"); deny && err == nil {
				t.Errorf("allowed by rule %q", d.Rule())
			}
			golden(t, name+".golden", answer(t, d, err))
		})
	}
}

func readRequest(t *testing.T, path string) (policy.Peer, *policy.Request) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := allowedRequest()
	with := struct {
		*policy.Request
		Peer uint32
	}{r, nomadUID}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&with); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return policy.Peer{UID: with.Peer, PID: 4242}, r
}

// answer is a decision or a denial as text.
func answer(t *testing.T, d *policy.Decision, err error) string {
	t.Helper()
	if err != nil {
		var denial *policy.Denial
		if !errors.As(err, &denial) {
			t.Fatalf("the error is a %T, want *policy.Denial", err)
		}
		if strings.ContainsAny(denial.Error(), "\n\x00") || strings.HasSuffix(denial.Reason, ".") {
			t.Errorf("the denial is not one sentence on one line: %q", denial.Error())
		}
		return fmt.Sprintf("denied\nsubject  %s\nvalue    %q\nreason   %s\nsentence %s\n", denial.Subject, denial.Value, denial.Reason, denial)
	}
	text := fmt.Sprintf("allowed\nrule     %s\nclient   %s\ntasks    %d\n", d.Rule(), d.Client().Name, d.TasksMax())
	if g, ok := d.Group(); ok {
		text += fmt.Sprintf("group    %s gid %d\n", g.Name, g.GID)
	}
	if more := d.SupplementaryGroups(); len(more) > 0 {
		text += fmt.Sprintf("further  %v\n", more)
	}
	user, fixed := d.User()
	if !fixed {
		return text + "user     dynamic\n"
	}
	return text + fmt.Sprintf("user     %s uid %d gid %d groups %v\n", user.Name, user.UID, user.GID, user.Groups)
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run the test with -update, and read what it wrote", err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant (%s)\n%s", got, path, want)
	}
}

func TestDecisionIsACopyThatNobodyElseCanChange(t *testing.T) {
	p := load(t, twoRules)
	r := allowedRequest()
	r.User, r.SupplementaryGroups = "app", []string{"www-data"}
	d, err := p.Decide(policy.Peer{UID: nomadUID}, r)
	if err != nil {
		t.Fatalf("Decide: %v", err)
	}
	want := allowedRequest()
	want.User, want.SupplementaryGroups = "app", []string{"www-data"}

	r.Command, r.Name[0], r.Args[0], r.Resources.CPUs[0] = "/x", "x", "x", 7
	r.SupplementaryGroups[0] = "x"
	r.Labels["NOMAD_TASK"], r.Env["LANG"] = "x", "x"
	if !reflect.DeepEqual(d.Request(), want) {
		t.Errorf("after a change of the caller's request the decision's is\n%+v, want\n%+v", d.Request(), want)
	}
	user, _ := d.User()
	user.Groups[0].GID = 0
	if again, _ := d.User(); again.Groups[0].GID != 33 {
		t.Errorf("after a change of the caller's user the group is %d, want 33", again.Groups[0].GID)
	}
	if d.PolicySHA256() != p.SHA256() || p.SHA256() == "" {
		t.Errorf("the decision's hash is %q, want the policy's, %q", d.PolicySHA256(), p.SHA256())
	}
}

func TestClientsAreCopies(t *testing.T) {
	p := load(t, twoRules)
	want := policy.Client{
		Name: "nomad", User: "nomad", UID: nomadUID, UnitPrefix: "nomad",
		Slice: "brokerd-nomad.slice", AllocRoot: "/var/lib/nomad/alloc", MaxUnits: 1000,
	}
	c, ok := p.Client(nomadUID)
	if !ok || *c != want {
		t.Fatalf("Client(%d) = %+v, %v, want %+v", nomadUID, c, ok, want)
	}
	c.AllocRoot = "/"
	for _, again := range p.Clients() {
		if *again != want {
			t.Errorf("Clients() holds %+v, want %+v", *again, want)
		}
	}
	if c, ok := p.Client(0); ok || c != nil {
		t.Errorf("Client(0) = %+v, %v, want none", c, ok)
	}
}

func TestDenyAllDeniesEverything(t *testing.T) {
	p := policy.DenyAll()
	for _, uid := range []uint32{0, nomadUID, 1<<32 - 1} {
		if d, err := p.Decide(policy.Peer{UID: uid}, allowedRequest()); d != nil || subject(err) != "client" {
			t.Errorf("Decide for uid %d = %v, %v, want a denial of the client", uid, d, err)
		}
	}
	if len(p.Clients()) != 0 || p.SHA256() != "" {
		t.Errorf("DenyAll has %d clients and the hash %q, want none", len(p.Clients()), p.SHA256())
	}
}

func TestClientsAreSortedByName(t *testing.T) {
	const second = `
client "another" {
  uid         = 4000
  unit_prefix = "another"
  slice       = "another.slice"
  alloc_root  = "/srv/another"
  max_units   = 1
}
`
	var names []string
	for _, c := range load(t, oneClient+second).Clients() {
		names = append(names, fmt.Sprintf("%s %q %d", c.Name, c.User, c.UID))
	}
	if got, want := strings.Join(names, ", "), `another "" 4000, nomad "nomad" 991`; got != want {
		t.Errorf("the clients are %s, want %s", got, want)
	}
}
