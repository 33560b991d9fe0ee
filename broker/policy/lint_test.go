// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"nomad-systemd-driver/broker/policy"
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

// lintedHost has a few programs, one of which others can change.
var lintedHost = &policy.Host{
	Has: func(p string) bool {
		return slices.Contains([]string{
			"/usr/bin", "/usr/bin/bash", "/usr/bin/python3", "/usr/bin/python3.11", "/usr/bin/shred", "/usr/bin/theirs", "/var/lib/nomad/alloc", "/srv/here",
		}, p)
	},
	Changeable: func(p string) string {
		if p == "/usr/bin/theirs" {
			return p
		}
		return ""
	},
	HasUnit: func(name string) bool { return name == "nomad.service" },
}

// TestLintOfClients: what is missing on the host with which a client could start nothing.
func TestLintOfClients(t *testing.T) {
	client := strings.Replace(oneClient, "max_units ", "unit = \"%s\"\n  max_units ", 1)
	for unit, row := range map[string]struct {
		tells bool
		want  string
	}{
		"nomad.service": {true, ""},
		"other.service": {true, "there is no other.service on this host"},
		"old.service":   {false, "the kernel does not say"},
	} {
		there := *lintedHost
		there.TellsUnits = row.tells
		text := fmt.Sprintf(client, unit) + aRule("r", `under = ["/local"]`, "dynamic_user = true", "")
		var got []string
		for _, w := range load(t, text).Lint(&there) {
			got = append(got, w.Block+": "+w.Text)
		}
		if text := strings.Join(got, "\n"); row.want == "" && text != "" || !strings.Contains(text, row.want) {
			t.Errorf("%s: %q, want %q", unit, text, row.want)
		}
	}
	elsewhere := strings.Replace(oneClient, "/var/lib/nomad/alloc", "/opt/alloc", 1) + aRule("r", `under = ["/local"]`, "dynamic_user = true", "")
	if all := load(t, elsewhere).Lint(lintedHost); len(all) != 1 || !strings.Contains(all[0].Text, "alloc_root /opt/alloc is not on this host") {
		t.Errorf("of another alloc_root: %+v", all)
	}
	if all := load(t, elsewhere).Lint(policy.AnyHost()); len(all) != 0 {
		t.Errorf("of any host: %+v", all)
	}
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
		"a program called like one":                      {aRule("r", `paths = ["/usr/bin/shred"]`, dynamic, ""), ""},
		"an interpreter and no user":                     {aRule("r", `paths = ["/usr/bin/python3"]`, dynamic, ""), "runs programs of its own"},
		"an interpreter and no user, which is meant":     {aRule("r", `paths = ["/usr/bin/python3"]`, dynamic, "args {\nany = true\n}"), ""},
		"an interpreter with arguments that say nothing": {aRule("r", `paths = ["/usr/bin/python3"]`, app, "args {\nfirst = [\"*\"]\n}"), "with python3 and any arguments"},
		"nor do all of them":                             {aRule("r", `paths = ["/usr/bin/python3"]`, app, "args {\neach = [\"*\"]\n}"), "with python3 and any arguments"},
		"a program of the host with any arguments":       {aRule("r", `paths = ["/usr/bin/shred"]`, app, ""), "/usr/bin/shred takes any arguments, as app"},
		"any arguments, which are meant":                 {aRule("r", `paths = ["/usr/bin/shred"]`, app, "args {\nany = true\n}"), ""},
		"a program that others can change":               {aRule("r", `paths = ["/usr/bin/theirs"]`, dynamic, ""), "others than root can change /usr/bin/theirs"},
		"a volume that is not here":                      {aRule("r", `under = ["/local"]`, dynamic, "volumes {\nread_only = [\"/srv/here\", \"/srv/gone\"]\n}"), "/srv/gone of volumes.read_only is not on this host"},
		"an image that is not here":                      {aRule("r", `under = ["/local"]`, dynamic, "rootfs = [\"image\"]\nimages = [\"/srv/gone\"]"), "/srv/gone of images is not on this host"},
		"a device that is not here":                      {aRule("r", `under = ["/local"]`, dynamic, "devices = [\"/dev/gone\"]"), "/dev/gone of devices is not on this host"},
		"what a never forbids":                           {aRule("r", `paths = ["/usr/bin/bash"]`, app, "args {\nnone = true\n}") + "never \"n\" {\nusers = [\"app\"]\nexec {\nunder = [\"/usr\"]\n}\n}\n", `never "n" (10-test.hcl:`},
		"what a never forbids for some tasks only":       {aRule("r", `paths = ["/usr/bin/shred"]`, app, "args {\nnone = true\n}") + "never \"n\" {\nusers = [\"app\"]\nlabels {\nNAMESPACE = [\"a\"]\n}\n}\n", ""},
		"what a never forbids in part":                   {aRule("r", `paths = ["/usr/bin/bash"]`, dynamic+"\nusers = [\"app\"]", "args {\nnone = true\n}") + "never \"n\" {\nusers = [\"app\"]\n}\n", ""},
		"who owns what has no owner":                     {aRule("r", `under = ["/local"]`, "users = [\"nobody\"]\nsystem_users = true", ""), "nobody is who owns what has no owner"},
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
			for _, w := range load(t, withClient(row.rules)).Lint(lintedHost) {
				got = append(got, w.Block+": "+w.Text)
			}
			text := strings.Join(got, "\n")
			if row.want == "" && text != "" || !strings.Contains(text, row.want) {
				t.Errorf("got %q, want %q", text, row.want)
			}
		})
	}
}
