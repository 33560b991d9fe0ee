// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"strings"
	"testing"

	"nomad-systemd-driver/broker/policy"
)

func TestVariablesThatRunCodeTakeARule(t *testing.T) {
	const (
		named   = `users = ["app"]`
		dynamic = "dynamic_user = true"
		scripts = "args {\n each = [\"--*\", \"80\"]\n}\n"
		anyArgs = "args {\n any = true\n}\n"
		lets    = "env {\n names = [\"PYTHON*\", \"LD_PRELOAD\", \"PATH\"]\n}\n"
	)
	for name, row := range map[string]struct {
		users, more string
		variable    string
		value       string
		allowed     bool
	}{
		"the loader's, of a named user":           {named, "", "LD_PRELOAD", "/local/x.so", false},
		"the loader's, of an ephemeral user":      {dynamic, "", "LD_PRELOAD", "/local/x.so", true},
		"with arguments that are bound":           {dynamic, scripts, "LD_PRELOAD", "/local/x.so", false},
		"with arguments that are free in writing": {dynamic, anyArgs, "LD_PRELOAD", "/local/x.so", true},
		"one that the rule names":                 {named, lets, "LD_PRELOAD", "/local/x.so", true},
		"one that its pattern names":              {named, lets, "PYTHONSTARTUP", "/local/x.py", true},
		"one that it does not name":               {named, lets, "LD_AUDIT", "/local/x.so", false},
		"the shell's":                             {named, "", "BASH_ENV", "/local/x", false},
		"a function of the shell":                 {named, "", "BASH_FUNC_ls%%", "() { :; }", false},
		"Perl's":                                  {named, "", "PERL5OPT", "-Mx", false},
		"Java's":                                  {named, "", "JAVA_TOOL_OPTIONS", "-javaagent:/local/x.jar", false},
		"Node's":                                  {named, "", "NODE_OPTIONS", "--require=/local/x.js", false},
		"one that only looks like one":            {named, "", "BUILD_PRELOAD", "x", true},
		"a path to the host's programs":           {named, "", "PATH", "/usr/local/bin:/usr/bin:/bin:/sbin", true},
		"a path to the job's":                     {named, "", "PATH", "/usr/bin:/local/bin", false},
		"a path to where the program runs":        {named, "", "PATH", "/usr/bin:", false},
		"a path out of /usr":                      {named, "", "PATH", "/usr/../local", false},
		"a path of the job's that is let through": {named, lets, "PATH", "/local/bin", true},
	} {
		t.Run(name, func(t *testing.T) {
			p := load(t, oneClient+aRule("r", `under = ["/local"]`, row.users, row.more))
			r := allowedRequest()
			r.Env[row.variable] = row.value
			if row.users == named {
				r.User = "app"
			}
			_, err := p.Decide(policy.Peer{UID: nomadUID}, r)
			if want := map[bool]string{true: "", false: "env"}[row.allowed]; subject(err) != want {
				t.Errorf("got %v, want a denial of %q", err, want)
			}
			if err != nil && strings.Contains(err.Error(), row.value) {
				t.Errorf("the denial has the value, which may be secret: %v", err)
			}
		})
	}
}

func TestSessionHasTheVariablesOfItsCaller(t *testing.T) {
	p := load(t, oneClient+aRule("r", `under = ["/local"]`, `users = ["app"]`, "sessions = true"))
	r := allowedRequest()
	r.User, r.Session, r.Rule, r.LogDriver = "app", true, "r", ""
	r.Env["LD_PRELOAD"] = "/local/x.so"
	if _, err := p.Decide(policy.Peer{UID: nomadUID}, r); err != nil {
		t.Errorf("denied: %v", err)
	}
}

// TestUnknownArgumentsDoNotFreeTheEnvironment: what is recorded lacks the arguments,
// and not that there were rules for them.
func TestUnknownArgumentsDoNotFreeTheEnvironment(t *testing.T) {
	p, _ := load(t, oneClient+aRule("r", `under = ["/local"]`, "dynamic_user = true", "args {\n none = true\n}")).IgnoringArgs()
	r := allowedRequest()
	if _, err := p.Decide(policy.Peer{UID: nomadUID}, r); err != nil {
		t.Errorf("denied: %v", err)
	}
	r.Env["LD_PRELOAD"] = ""
	if _, err := p.Decide(policy.Peer{UID: nomadUID}, r); subject(err) != "env" {
		t.Errorf("got %v", err)
	}
}
