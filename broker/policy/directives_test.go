// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"nomad-systemd-driver/broker/policy"
)

// withRule is a policy of one client and one rule with the given lines.
func withRule(lines string) string {
	return `version = 1
client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 100
}
rule "r" {
  client      = "nomad"
  log_drivers = ["fds", "journal"]
  exec {
    any = true
  }
  run_as {
    dynamic_user = true
  }
` + lines + "\n}\n"
}

func TestDirectivesOfARequest(t *testing.T) {
	const (
		none     = ""
		resource = "directives {\n classes = [\"resource\"]\n}"
		priority = "directives {\n classes = [\"resource\", \"priority\"]\n}"
		named    = "directives {\n names = [\"PrivateDevices\", \"AmbientCapabilities\"]\n}"
		bind     = "capabilities = [\"CAP_NET_BIND_SERVICE\"]"
		nice     = "directives {\n values {\n Nice = [\"0\", \"5\"]\n UMask = [\"0000\"]\n}\n}"
		strict   = "profiles = [\"default\", \"strict\"]"
	)
	for _, tt := range []struct {
		name, rule, profile, directive, line string
		want                                 string // in the denial; empty if allowed
	}{
		{"what tightens is free", none, "", "PrivateNetwork", "yes", ""},
		{"what tightens the profile's value is free", none, "", "SystemCallFilter", "~kill", ""},
		{"what loosens the profile is not", none, "", "PrivateDevices", "no", `profile "default" has PrivateDevices=yes`},
		{"nor with the class", resource, "", "UMask", "0000", "can only tighten"},
		{"but with the name", named, "", "PrivateDevices", "no", ""},
		{"what takes from others needs its class", none, "", "LimitNOFILE", "1048576", "of class resource"},
		{"which is enough", resource, "", "LimitNOFILE", "1048576", ""},
		{"a value of a higher class needs that", resource, "", "Nice", "-5", "of class priority"},
		{"and has it", priority, "", "Nice", "-5", ""},
		{"a capability needs the name", resource, "", "AmbientCapabilities", "CAP_KILL", "add CAP_KILL to capabilities"},
		{"a capability of the rule", bind, "", "AmbientCapabilities", "CAP_NET_BIND_SERVICE", ""},
		{"in the bounding set as well", bind, "", "CapabilityBoundingSet", "CAP_NET_BIND_SERVICE", ""},
		{"one more than the rule's", bind, "", "AmbientCapabilities", "CAP_NET_BIND_SERVICE CAP_NET_ADMIN", "add CAP_NET_ADMIN, CAP_NET_BIND_SERVICE to capabilities"},
		{"all but some", bind, "", "AmbientCapabilities", "~CAP_NET_BIND_SERVICE", "as good as root"},
		{"one that no policy can allow", bind, "", "AmbientCapabilities", "CAP_SYS_ADMIN", "no policy can allow CAP_SYS_ADMIN"},
		{"a value of the rule", nice, "", "Nice", "5", ""},
		{"another value", nice, "", "Nice", "-5", "of class priority"},
		{"another directive", nice, "", "IPAddressAllow", "any", "of class network"},
		{"a value against the profile", nice, "", "UMask", "0000", ""},
		{"another against the profile", nice, "", "UMask", "0002", "which a task can only tighten"},
		{"and gets it", named, "", "AmbientCapabilities", "CAP_KILL", ""},
		{"code is refused under any rule", priority, "", "ExecStartPost", "/bin/true", "no policy can allow it"},
		{"what is newer than the broker names its systemd", priority, "", "BindNetworkInterface", "lo", "reviewed for; it needs systemd 260"},
		{"so is what has a field", priority, "", "MemoryMax", "1G", "a field of their own"},
		{"an exception without what it is from is free", none, "", "SocketBindAllow", "80", ""},
		{"another profile is not there by itself", none, "strict", "", "", "this profile"},
		{"one of the rule's is", strict, "strict", "", "", ""},
		{"and it is the base", strict, "strict", "RestrictAddressFamilies", "AF_INET", `profile "strict" has`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := policy.Load(fstest.MapFS{"p.hcl": {Data: []byte(withRule(tt.rule))}}, host(t), nil)
			if err != nil {
				t.Fatal(err)
			}
			r := allowedRequest()
			r.Profile = tt.profile
			if tt.directive != "" {
				r.Directives = []policy.Directive{{Name: tt.directive, Lines: []string{tt.line}}}
			}
			d, err := p.Decide(policy.Peer{UID: nomadUID}, r)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("denied: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want a denial with %q", err, tt.want)
			case err == nil && len(d.Values()) < 10:
				t.Errorf("the decision sets %d values only", len(d.Values()))
			}
		})
	}
}

func TestProfilesOfTheOperator(t *testing.T) {
	rule := fstest.MapFS{"p.hcl": {Data: []byte(withRule(`profiles = ["mine"]`))}}
	file := func(name, text string) fstest.MapFS { return fstest.MapFS{name: {Data: []byte(text)}} }
	p, err := policy.Load(rule, host(t), file("mine.conf", "; mine\n[Service]\nPrivateNetwork = yes\n\nReadOnlyPaths=/alloc\nReadOnlyPaths=/local\n"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.Decide(policy.Peer{UID: nomadUID}, allowedRequest())
	if err != nil || d.Profile() != "mine" || len(d.Values()) != 2 {
		t.Fatalf("got %v, %v", d, err)
	}
	other, err := policy.Load(rule, host(t), file("mine.conf", "[Service]\nPrivateNetwork=yes\n"))
	if err != nil || other.SHA256() == p.SHA256() {
		t.Errorf("another profile is not another policy: %v", err)
	}
	for name, tt := range map[string]struct{ file, text, want string }{
		"none of that name":             {"others.conf", "[Service]\n", `p.hcl:`},
		"a misspelt directive":          {"mine.conf", "[Service]\nPrivteNetwork=yes\n", "mine.conf:2:1: there is no directive PrivteNetwork; did you mean PrivateNetwork?"},
		"a wrong value":                 {"mine.conf", "[Service]\nUMask=0022\nUMask=abc\n", "mine.conf:3:1: UMask"},
		"a directive that is refused":   {"mine.conf", "[Service]\nExecStartPre=/bin/true\n", "mine.conf:2:1: ExecStartPre"},
		"less than what is forced":      {"mine.conf", "[Service]\nNoNewPrivileges=no\n", "NoNewPrivileges=yes for every unit"},
		"a line before the section":     {"mine.conf", "PrivateNetwork=yes\n", "mine.conf:1:1: a profile begins with [Service]"},
		"another section":               {"mine.conf", "[Unit]\n", "mine.conf:1:1: a profile begins with [Service]"},
		"a continued line":              {"mine.conf", "[Service]\nReadOnlyPaths=/a \\\n /b\n", "mine.conf:2:1: this is not Name=value on one line"},
		"a line that is no assignment":  {"mine.conf", "[Service]\nPrivateNetwork\n", "this is not Name=value"},
		"a character that is not shown": {"mine.conf", "[Service]\nUMask=0022\u202e\n", "U+202E"},
		"a file with a bad name":        {"my profile.conf", "[Service]\n", "is not named NAME.conf"},
	} {
		_, err := policy.Load(rule, host(t), file(tt.file, tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

func TestRulesNameWhatThereIs(t *testing.T) {
	for lines, want := range map[string]string{
		`capabilities = ["CAP_SYS_ADMIN"]`:                    `"CAP_SYS_ADMIN" is no capability that a task may have; possible are CAP_NET_BIND_SERVICE`,
		`capabilities = ["NET_RAW"]`:                          `"NET_RAW" is no capability`,
		"directives {\n values {\n ExecStart = [\"x\"]\n}\n}": "no policy can allow ExecStart",
		"directives {\n values {\n Nice = [\"x\"]\n}\n}":      "Nice",
		"directives {\n values {\n Nic = [\"x\"]\n}\n}":       "did you mean Nice?",
		"directives {\n values {\n}\n}":                       "is empty",
		"env {\n}":                                            "needs names",
		"env {\n names = [\"A**\"]\n}":                        `"*" stands for any characters already`,
		`profiles = ["nosuch"]`:                               `there is no profile "nosuch"; there are default, network-off, strict, trusted`,
		"directives {\n classes = [\"nosuch\"]\n}":            "is not a class of directives",
		"directives {\n classes = [\"code\"]\n}":              `no policy can allow directives of class "code"`,
		"directives {\n names = [\"ExecStart\"]\n}":           "no policy can allow ExecStart",
		"directives {\n names = [\"PrivateNetwrk\"]\n}":       "did you mean PrivateNetwork?",
		"directives {\n}":                                     "says nothing",
	} {
		_, err := policy.Load(fstest.MapFS{"p.hcl": {Data: []byte(withRule(lines))}}, host(t), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", lines, err, want)
		}
	}
}
