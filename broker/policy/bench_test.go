// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"nomad-systemd-driver/broker/policy"
)

// fullRules is a policy with n rules, each with all that a rule can ask for, of
// which the last by name allows the request.
func fullRules(n int) (string, *policy.Request) {
	var text strings.Builder
	text.WriteString(oneClient)
	for i := range n {
		fmt.Fprintf(&text, `
rule "r%05d" {
  client      = "nomad"
  log_drivers = ["fds"]
  network     = ["host"]
  labels {
    NAMESPACE = ["team-%d", "team-%d-*"]
  }
  args {
    each = ["--*", "80"]
  }
  exec {
    under = ["/local"]
    paths = ["/usr/bin/tool-%d"]
  }
  run_as {
    users = ["app"]
  }
  limits {
    cpu_percent = 100
  }
}
`, i, i, i, i)
	}
	r := allowedRequest()
	r.User = "app"
	r.Labels = map[string]string{"NOMAD_NAMESPACE": fmt.Sprintf("team-%d", n-1)}
	r.Directives = []policy.Directive{{Name: "CPUQuota", Lines: []string{"100%"}}}
	return text.String(), r
}

// lateRules is a policy with n rules that differ in the last thing that is asked of
// them, and a request with 20 directives that no profile leaves free: all checks of all
// rules are asked before it is denied. Every third rule has another profile.
func lateRules(n int) (string, *policy.Request) {
	directives := []policy.Directive{
		{Name: "CPUQuota", Lines: []string{"100%"}},
		{Name: "IOWeight", Lines: []string{"200"}},
		{Name: "LimitAS", Lines: []string{"infinity"}},
		{Name: "LimitCORE", Lines: []string{"1G"}},
		{Name: "LimitCPU", Lines: []string{"infinity"}},
		{Name: "LimitDATA", Lines: []string{"infinity"}},
		{Name: "LimitFSIZE", Lines: []string{"infinity"}},
		{Name: "LimitLOCKS", Lines: []string{"infinity"}},
		{Name: "LimitMEMLOCK", Lines: []string{"64M"}},
		{Name: "LimitMSGQUEUE", Lines: []string{"1M"}},
		{Name: "LimitNICE", Lines: []string{"10"}},
		{Name: "LimitNOFILE", Lines: []string{"65536"}},
		{Name: "LimitNPROC", Lines: []string{"65536"}},
		{Name: "LimitRSS", Lines: []string{"infinity"}},
		{Name: "LimitSIGPENDING", Lines: []string{"65536"}},
		{Name: "LimitSTACK", Lines: []string{"64M"}},
		{Name: "Nice", Lines: []string{"-5"}},
		{Name: "OOMScoreAdjust", Lines: []string{"-10"}},
		{Name: "SystemCallFilter", Lines: []string{"@clock", "@mount", "@debug"}},
		{Name: "StartupCPUWeight", Lines: []string{"300"}},
	}
	names := make([]string, len(directives))
	for i, d := range directives {
		names[i] = fmt.Sprintf("%q", d.Name)
	}
	var text strings.Builder
	text.WriteString(oneClient)
	for i := range n {
		fmt.Fprintf(&text, `
rule "r%05d" {
  client      = "nomad"
  log_drivers = ["fds"]
  network     = ["none"]
  profiles    = [%q]
  exec {
    under = ["/local"]
  }
  run_as {
    users = ["app"]
  }
  directives {
    classes = ["identity"]
    names   = [%s]
  }
  limits {
    cpu_percent = 100
    cpu_weight  = 300
  }
}
`, i, []string{"default", "trusted", "default"}[i%3], strings.Join(names, ", "))
	}
	r := allowedRequest()
	r.User, r.Directives = "app", directives
	for i := range 100 {
		r.Env[fmt.Sprintf("NOMAD_META_%d", i)] = "x"
	}
	return text.String(), r
}

// decisions are what takes the longest, each denied or allowed by the last rule.
var decisions = []struct {
	name    string
	policy  func(int) (string, *policy.Request)
	change  func(*policy.Request)
	subject string // of the denial, empty if it is allowed
}{
	{"allowed by the last", fullRules, func(*policy.Request) {}, ""},
	{"denied", fullRules, func(r *policy.Request) { r.User = "root" }, "user"},
	{"labels of no rule", fullRules, func(r *policy.Request) { r.Labels = nil }, "labels"},
	{"20 directives, no labels, denied by all at the end", lateRules, func(*policy.Request) {}, "network"},
	{"20 directives, each refused", lateRules, func(r *policy.Request) {
		r.Directives[0].Lines = []string{"200%"}
		r.Directives = append(r.Directives, policy.Directive{Name: "IPAddressAllow", Lines: []string{"10.0.0.0/8"}})
	}, "resources"},
}

func BenchmarkDecideAmong1000Rules(b *testing.B) {
	for _, row := range decisions {
		text, r := row.policy(1000)
		p := load(b, text)
		row.change(r)
		b.Run(row.name, func(b *testing.B) {
			for b.Loop() {
				_, _ = p.Decide(policy.Peer{UID: nomadUID}, r)
			}
		})
	}
}

// TestDecisionAllocatesNothingForEachRule: what is read of a request is read once, however
// many rules there are. How long that takes is for BenchmarkDecideAmong1000Rules to say.
func TestDecisionAllocatesNothingForEachRule(t *testing.T) {
	for _, row := range decisions {
		allocations := func(rules int) float64 {
			text, r := row.policy(rules)
			p := load(t, text)
			row.change(r)
			return testing.AllocsPerRun(10, func() {
				if _, err := p.Decide(policy.Peer{UID: nomadUID}, r); subject(err) != row.subject {
					t.Fatalf("%s: %v, want a denial of %q", row.name, err, row.subject)
				}
			})
		}
		few, many := allocations(10), allocations(1000)
		if many > few+50 {
			t.Errorf("%s: among 10 rules a decision allocates %.0f times, among 1000 %.0f times", row.name, few, many)
		}
	}
}
