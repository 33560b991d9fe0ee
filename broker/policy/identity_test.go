// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"nomad-systemd-driver/broker/policy"
)

// withIdentity is a policy whose client can prove what its tasks are.
const withIdentity = oneClient + `
identity "nomad" {
  client    = "nomad"
  audiences = ["systemd-brokerd"]
  keys      = "/var/lib/k/jwks.json"
}
`

// withClient puts the client before rules that bring none.
func withClient(rules string) string {
	if strings.HasPrefix(rules, "version") {
		return rules
	}
	return oneClient + rules
}

// proving is a rule that wants proof, with more in it.
func proving(name, more string) string {
	return aRule(name, `under = ["/local"]`, "dynamic_user = true", "require_identity = true\n"+more)
}

func TestClientTellsWhatProvesItsTasks(t *testing.T) {
	p := load(t, strings.Replace(withIdentity, "jwks.json\"\n", "jwks.json\"\n  keys_user = \"app\"\n  unexpiring = true\n", 1))
	c, _ := p.Client(nomadUID)
	if k := c.Identity; k == nil || k.File != "/var/lib/k/jwks.json" || k.Owner != 1001 || !k.Unexpiring || len(k.Audiences) != 1 {
		t.Errorf("the client is %+v, its keys %+v", c, c.Identity)
	}
	if c, _ := load(t, oneClient).Client(nomadUID); c.Identity != nil {
		t.Errorf("without the block the keys are %+v", c.Identity)
	}
}

// TestIdentityCanBeTested: a test says that labels are proven, and one notices that a
// rule does not ask for it any more.
func TestIdentityCanBeTested(t *testing.T) {
	rest := "command = \"/local/x\"\nlabels {\nNAMESPACE = \"a\"\n}\n"
	tests, err := policy.LoadTests(fstest.MapFS{"a.policytest.hcl": {Data: []byte("version = 1\n" +
		"test \"proven\" {\n" + rest + "identity = true\nallow = \"r\"\n}\n" +
		"test \"not proven\" {\n" + rest + "deny = \"identity\"\n}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	report := load(t, withIdentity+proving("r", "")).RunTests(tests)
	for _, r := range report.Results {
		if r.Problem != "" {
			t.Errorf("test %q: %s", r.Test.Name, r.Problem)
		}
	}
	for _, m := range report.Mutants {
		if m.Change == "without require_identity = true" && m.KilledBy == "not proven" {
			return
		}
	}
	t.Errorf("no test notices that proof is not asked for: %+v", report.Mutants)
}
