// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"fmt"
	"testing"

	"nomad-systemd-driver/broker/policy"
)

// TestDenialIsThatOfTheRuleThatExplainShowsFirst, whatever is wrong with a request.
func TestDenialIsThatOfTheRuleThatExplainShowsFirst(t *testing.T) {
	p := load(t, twoRules+aRule("c", `under = ["/usr/bin"]`, `users = ["app"]`, "labels {\n NAMESPACE = [\"x\"]\n}\nargs {\n none = true\n}\n")+
		aRule("d", `any = true`, `dynamic_user = true`, "network = [\"none\"]\nprofiles = [\"strict\"]\n"))
	wrong := []func(*policy.Request){
		func(r *policy.Request) { r.Command = "/usr/bin/x" },
		func(r *policy.Request) { r.Command = "/alloc/x" },
		func(r *policy.Request) { r.User = "app" },
		func(r *policy.Request) { r.User = "root" },
		func(r *policy.Request) { r.LogDriver = policy.LogNone },
		func(r *policy.Request) { r.Resources.TasksMax = 100 },
		func(r *policy.Request) { r.Resources.MemoryMax = 64 << 30 },
		func(r *policy.Request) { r.Group = "media" },
		func(r *policy.Request) { r.Profile = "trusted" },
		func(r *policy.Request) { r.Env["LD_PRELOAD"] = "x" },
		func(r *policy.Request) { r.Directives = []policy.Directive{{Name: "Nice", Lines: []string{"-5"}}} },
	}
	denied := 0
	for mix := range 1 << len(wrong) {
		r := allowedRequest()
		for i, change := range wrong {
			if mix&(1<<i) != 0 {
				change(r)
			}
		}
		e := p.Explain(policy.Peer{UID: nomadUID}, r)
		if e.Denial == nil {
			continue
		}
		denied++
		first := e.Rules[0].Denials[0]
		if got, want := fmt.Sprint(first.Subject, first.Value), fmt.Sprint(e.Denial.Subject, e.Denial.Value); got != want {
			t.Fatalf("mix %b: the denial is of %s, the first rule that is shown (%s) refuses %s", mix, want, e.Rules[0].Rule, got)
		}
		for _, v := range e.Rules[1:] {
			if len(v.Denials) < len(e.Rules[0].Denials) {
				t.Fatalf("mix %b: rule %s is nearer than %s", mix, v.Rule, e.Rules[0].Rule)
			}
		}
	}
	if denied < 100 {
		t.Errorf("only %d mixes are denied", denied)
	}
}
