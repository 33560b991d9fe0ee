// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"testing"

	"nomad-systemd-driver/broker/policy"
)

// TestWeightAtStartupIsLimitedToo: a class that holds StartupCPUWeight= must not lift
// limits.cpu_weight while the host starts.
func TestWeightAtStartupIsLimitedToo(t *testing.T) {
	p := load(t, oneClient+aRule("r", `under = ["/local"]`, "dynamic_user = true",
		"directives {\nclasses = [\"resource\"]\n}\nlimits {\ncpu_weight = 200\n}"))
	for value, want := range map[string]bool{"200": true, "201": false, "idle": true} {
		r := allowedRequest()
		r.Directives = []policy.Directive{{Name: "StartupCPUWeight", Lines: []string{value}}}
		if _, err := p.Decide(policy.Peer{UID: nomadUID}, r); (err == nil) != want {
			t.Errorf("StartupCPUWeight=%s: %v, want allowed %v", value, err, want)
		}
	}
}
