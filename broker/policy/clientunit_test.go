// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"strings"
	"testing"

	"nomad-systemd-driver/broker/policy"
)

func TestClientWithAUnitAsksFromThereOnly(t *testing.T) {
	p := load(t, strings.Replace(twoRules, "max_units", "unit = \"nomad.service\"\n  max_units", 1))
	r := allowedRequest()
	r.User = "app"
	for unit, want := range map[string]string{"nomad.service": "", "": "client", "other.service": "client"} {
		if _, err := p.Decide(policy.Peer{UID: nomadUID, Unit: unit}, r); subject(err) != want {
			t.Errorf("from %q: %v", unit, err)
		}
	}
	if _, err := load(t, twoRules).Decide(policy.Peer{UID: nomadUID, Unit: "other.service"}, r); err != nil {
		t.Errorf("a client without a unit: %v", err)
	}
}
