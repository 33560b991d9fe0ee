// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// aRule is a rule that allows something, with more in it.
func aRule(name, exec, users, more string) string {
	return fmt.Sprintf(`
rule %q {
  client      = "nomad"
  log_drivers = ["fds"]
  exec {
    %s
  }
  run_as {
    %s
  }
  %s
}
`, name, exec, users, more)
}

func TestLint(t *testing.T) {
	const dynamic, app = "dynamic_user = true", `users = ["app"]`
	wide := aRule("wide", `under = ["/local", "/usr/bin"]`, dynamic, "")
	for name, row := range map[string]struct {
		rules string
		want  string // parts of warnings, separated by "|"; empty for none
	}{
		"nothing to say":                                 {wide, ""},
		"no rule":                                        {"", `client "nomad": no rule is for it`},
		"any program":                                    {aRule("r", "any = true", dynamic, ""), "exec.any = true"},
		"an interpreter and a user":                      {aRule("r", `paths = ["/usr/bin/python3"]`, app, ""), "with python3 and any arguments a job can do all that app can"},
		"an interpreter below a directory":               {aRule("r", `under = ["/usr/bin"]`, app, ""), "with bash, python3 and any"},
		"an interpreter and its arguments":               {aRule("r", `paths = ["/usr/bin/python3"]`, app, "args {\nfirst = [\"/local/x\"]\n}"), ""},
		"an interpreter with its version":                {aRule("r", `paths = ["/usr/bin/python3.11"]`, app, ""), "with python3.11 and any arguments"},
		"a program called like one":                      {aRule("r", `paths = ["/usr/bin/shred"]`, app, ""), ""},
		"an interpreter and no user":                     {aRule("r", `paths = ["/usr/bin/python3"]`, dynamic, ""), ""},
		"a program that is not here":                     {aRule("r", `paths = ["/usr/bin/none", "/local/none"]`, dynamic, ""), "/usr/bin/none is not on this host"},
		"no exec":                                        {"rule \"r\" {\n  client = \"nomad\"\n}\n", "it has no exec"},
		"no user":                                        {"rule \"r\" {\n  client = \"nomad\"\n  exec {\n    any = true\n  }\n}\n", "it has no run_as"},
		"no log driver":                                  {"rule \"r\" {\n  client = \"nomad\"\n  exec {\n    any = true\n  }\n  run_as {\n    dynamic_user = true\n  }\n}\n", "it has no log_drivers"},
		"a rule within another":                          {wide + aRule("x", `paths = ["/usr/bin/bash"]`, dynamic, ""), `rule "x": rule "wide" (10-test.hcl:11) allows all`},
		"a rule within a later one":                      {wide + aRule("a", `under = ["/local/bin"]`, dynamic, ""), `rule "a": rule "wide"`},
		"the same rule twice":                            {wide + aRule("x", `under = ["/local", "/usr/bin"]`, dynamic, ""), `rule "x": rule "wide"`},
		"a rule with fewer labels":                       {wide + aRule("x", `under = ["/local"]`, dynamic, "labels {\nNAMESPACE = [\"a\"]\n}"), `rule "x": rule "wide"`},
		"a rule with more memory":                        {wide + aRule("x", `under = ["/local"]`, dynamic, "limits {\nmemory_max = \"17GiB\"\n}"), ""},
		"a rule with sessions":                           {wide + aRule("x", `under = ["/local"]`, dynamic, "sessions = true"), ""},
		"a rule with another user":                       {wide + aRule("x", `under = ["/local"]`, app, ""), ""},
		"a rule with another profile":                    {wide + aRule("x", `under = ["/local"]`, dynamic, "profiles = [\"strict\"]"), ""},
		"a rule with more directives":                    {wide + aRule("x", `under = ["/local"]`, dynamic, "directives {\nclasses = [\"resource\"]\n}"), ""},
		"a rule beside one for other labels":             {aRule("a", `under = ["/local"]`, dynamic, "labels {\nNAMESPACE = [\"a\"]\n}") + aRule("b", `under = ["/local"]`, dynamic, "labels {\nNAMESPACE = [\"b\"]\n}"), ""},
		"a rule beside one with a quota":                 {aRule("a", `under = ["/local"]`, dynamic, "quotas {\nunits = 1\n}") + aRule("b", `under = ["/local/b"]`, dynamic, ""), ""},
		"keys that are not here":                         {withIdentity + proving("r", "") + "\n", "/var/lib/k/jwks.json is not on this host"},
		"labels that are not proven":                     {withIdentity + aRule("r", `under = ["/local"]`, dynamic, "labels {\nNAMESPACE = [\"a\"]\n}"), "claims of the client, and can be proven"},
		"a rule that wants proof in one that wants none": {withIdentity + aRule("a", `under = ["/local"]`, dynamic, "") + proving("b", ""), `rule "b": rule "a"`},
		"a rule that wants none below one that does":     {withIdentity + proving("a", "") + aRule("c", `under = ["/local/c"]`, dynamic, ""), `is not on this host, so`},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, w := range load(t, withClient(row.rules)).Lint(func(p string) bool {
				return p == "/usr/bin" || slices.Contains([]string{"/usr/bin/bash", "/usr/bin/python3", "/usr/bin/python3.11", "/usr/bin/shred"}, p)
			}) {
				got = append(got, w.Block+": "+w.Text)
			}
			text := strings.Join(got, "\n")
			if row.want == "" && text != "" || !strings.Contains(text, row.want) {
				t.Errorf("got %q, want %q", text, row.want)
			}
		})
	}
}
