// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"nomad-systemd-driver/broker/policy"
)

// managerRule lets app run in its own service manager, unless words of it are replaced.
const managerRule = `version = 1
client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 10
}
rule "own" {
  client      = "nomad"
  log_drivers = ["fds"]
  profiles    = ["default", "strict"]
  exec {
    any = true
  }
  run_as {
    users         = ["app", "www-data", "nobody"]
    session_users = ["app"]
    system_users  = true
  }
  directives {
    classes = ["safe", "resource"]
  }
}
`

func managerRequest(change func(*policy.Request)) *policy.Request {
	r := allowedRequest()
	r.User, r.UserManager = "app", true
	r.Resources.CPUs = nil
	change(r)
	return r
}

func denialOf(t *testing.T, p *policy.Policy, r *policy.Request) *policy.Denial {
	t.Helper()
	_, err := p.Decide(policy.Peer{UID: nomadUID}, r)
	d, denied := errors.AsType[*policy.Denial](err)
	if err != nil && !denied {
		t.Fatal(err)
	}
	return d
}

func TestUsersOwnManagerIsGivenByName(t *testing.T) {
	with := func(d ...policy.Directive) func(*policy.Request) {
		return func(r *policy.Request) { r.Directives = d }
	}
	for name, tt := range map[string]struct {
		rule   []string // replacements
		change func(*policy.Request)
		denied string // subject
	}{
		"a listed user":            {nil, func(*policy.Request) {}, ""},
		"a user without it":        {nil, func(r *policy.Request) { r.UserManager = false; r.User = "www-data" }, ""},
		"a user that is not":       {nil, func(r *policy.Request) { r.User = "www-data" }, "user session"},
		"no user at all":           {[]string{`    session_users = ["app"]` + "\n", ""}, func(*policy.Request) {}, "user session"},
		"a limit that it can keep": {nil, with(policy.Directive{Name: "CPUQuota", Lines: []string{"50%"}}), ""},
		"one that it cannot":       {nil, with(policy.Directive{Name: "IOWeight", Lines: []string{"50"}}), "directive"},
		"addresses":                {nil, with(policy.Directive{Name: "IPAddressDeny", Lines: []string{"any"}}), "directive"},
		"a hidden home":            {nil, with(policy.Directive{Name: "ProtectHome", Lines: []string{"yes"}}), "directive"},
		"a profile with addresses": {nil, func(r *policy.Request) { r.Profile = "strict" }, "profile"},
		"an unknown profile":       {nil, func(r *policy.Request) { r.Profile = "none" }, "profile"},
		"what is forbidden": {
			[]string{`version = 1`, "version = 1\nnever \"own\" {\n  user_manager = true\n}"}, func(*policy.Request) {}, "user session",
		},
		"what else is forbidden": {
			[]string{`version = 1`, "version = 1\nnever \"own\" {\n  user_manager = true\n}"}, func(r *policy.Request) { r.UserManager = false }, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := denialOf(t, load(t, strings.NewReplacer(tt.rule...).Replace(managerRule)), managerRequest(tt.change))
			if d == nil && tt.denied != "" || d != nil && d.Subject != tt.denied {
				t.Errorf("got %v, want a denial of %q", d, tt.denied)
			}
		})
	}
}

func TestUsersOwnManagerHasAFloor(t *testing.T) {
	for name, tt := range map[string]struct{ users, says string }{
		"the system's user":     {`"www-data"`, "uid 33 is a user of the system"},
		"nobody":                {`"nobody"`, "uid 65534 is a user of the system"},
		"who is not among them": {`"other"`, "is not in users"},
		"root":                  {`"root"`, "is not in users"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(managerRule, `session_users = ["app"]`, "session_users = ["+tt.users+"]", 1)
			_, err := policy.Load(fstest.MapFS{"10-test.hcl": {Data: []byte(text)}}, host(t), nil)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
}

// TestOnlyManagersLimitsArePassedOn to the user's manager, in order.
func TestOnlyManagersLimitsArePassedOn(t *testing.T) {
	r := managerRequest(func(r *policy.Request) {
		r.Directives = []policy.Directive{{"CPUQuota", []string{"50%"}}, {"MemoryHigh", []string{"1M", "2M"}}, {"Nice", []string{"5"}}}
	})
	d, err := load(t, managerRule).Decide(policy.Peer{UID: nomadUID}, r)
	if err != nil {
		t.Fatal(err)
	}
	limits, ok := d.UserManager()
	if want := r.Directives[:2]; !ok || !slices.EqualFunc(limits, want, func(a, b policy.Directive) bool {
		return a.Name == b.Name && slices.Equal(a.Lines, b.Lines)
	}) {
		t.Errorf("got %v, %t; want %v", limits, ok, want)
	}
}

// TestTestsNoticeALostManager: a rule without the key is another policy to its tests.
func TestTestsNoticeALostManager(t *testing.T) {
	tests, err := policy.LoadTests(fstest.MapFS{"a.policytest.hcl": {Data: []byte(`version = 1
test "own" {
  command      = "/usr/bin/id"
  user         = "app"
  user_manager = true
  allow        = "own"
}
test "not another's" {
  command      = "/usr/bin/id"
  user         = "www-data"
  user_manager = true
  deny         = "user session"
}
`)}})
	if err != nil {
		t.Fatal(err)
	}
	report := load(t, managerRule).RunTests(tests)
	for _, r := range report.Results {
		if r.Problem != "" {
			t.Errorf("test %q: %s", r.Test.Name, r.Problem)
		}
	}
	i := slices.IndexFunc(report.Mutants, func(m policy.Mutant) bool { return m.Change == `run_as.session_users without "app"` })
	if i < 0 || report.Mutants[i].KilledBy != "own" {
		t.Errorf("no test notices: %v", report.Mutants)
	}
}
