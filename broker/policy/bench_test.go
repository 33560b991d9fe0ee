// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

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

func BenchmarkDecideAmong1000Rules(b *testing.B) {
	text, r := fullRules(1000)
	p := load(b, text)
	for _, row := range []struct {
		name   string
		change func(*policy.Request)
	}{
		{"allowed", func(*policy.Request) {}},
		{"denied", func(r *policy.Request) { r.User = "root" }},
		{"labels of no rule", func(r *policy.Request) { r.Labels = nil }},
	} {
		b.Run(row.name, func(b *testing.B) {
			asked := *r
			row.change(&asked)
			for b.Loop() {
				_, _ = p.Decide(policy.Peer{UID: nomadUID}, &asked)
			}
		})
	}
}

// TestDecisionAmongAThousandRulesTakesLessThanAMillisecond takes the best of many,
// which other work on the machine does not slow down.
func TestDecisionAmongAThousandRulesTakesLessThanAMillisecond(t *testing.T) {
	text, r := fullRules(1000)
	p := load(t, text)
	best := time.Hour
	for range 50 {
		begin := time.Now()
		if _, err := p.Decide(policy.Peer{UID: nomadUID}, r); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(begin))
	}
	if best > time.Millisecond {
		t.Errorf("a decision takes %s", best)
	}
}
