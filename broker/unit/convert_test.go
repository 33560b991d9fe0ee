// SPDX-License-Identifier: MPL-2.0

package unit

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"nomad-systemd-driver/broker/directive"
	"nomad-systemd-driver/broker/policy"
)

var update = flag.Bool("update", false, "write the golden files anew")

// names resolves the users of the test policy.
type names map[string]policy.User

func (n names) User(name string) (policy.User, error) {
	u, ok := n[name]
	if !ok {
		return policy.User{}, policy.ErrUnknown
	}
	return u, nil
}

func (names) Group(name string) (uint32, error) {
	if name == "media" {
		return 1500, nil
	}
	return 0, policy.ErrUnknown
}

func testPolicy(t testing.TB) *policy.Policy {
	t.Helper()
	text, err := os.ReadFile("testdata/policy.hcl")
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Load(fstest.MapFS{"test.hcl": {Data: text}}, names{
		"nomad": {Name: "nomad", UID: 991, GID: 991},
		"alice": {Name: "alice", UID: 2001, GID: 2001, GroupName: "people", Groups: []policy.Group{{Name: "a", GID: 3000}, {Name: "b", GID: 3001}}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var host = Host{
	Alloc: "/staged/0", Local: "/staged/1", Secrets: "/staged/2",
	Volumes: []Volume{{"/staged/3", "/data", false, false}, {"/staged/4", "/srv/web", true, false}, {"/staged/5", "/model", true, true}},

	Root:            "/run/systemd-brokerd/root",
	ReadOnly:        []string{"/usr", "/etc/hosts"},
	Passwd:          "/run/systemd-brokerd/starts/x/passwd",
	Group:           "/run/systemd-brokerd/starts/x/group",
	EnvironmentFile: "/run/systemd-brokerd/starts/x/environment",
	Stdout:          7,
	Stderr:          8,
	Fields:          map[string]string{"BROKER_CLIENT": "nomad"},
	DynamicUser:     "nomad-0011223344556677",
}

// TestFrom converts each testdata/*.json request and compares the unit's
// properties with the *.golden file beside it. Run with -update to write them.
func TestFrom(t *testing.T) {
	p := testPolicy(t)
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no requests to convert", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			d, host := decide(t, p, file), host
			if d.Request().Session {
				host.Session = &Session{Unit: "nomad-db-0123.service", Stdin: 6}
			}
			for _, c := range d.Request().Credentials {
				host.Credentials = append(host.Credentials, Credential{c.Name, "/run/systemd-brokerd/starts/x/credential." + c.Name})
			}
			if d.Request().UserManager {
				host.RuntimeDir, host.Systemd = RuntimeDir(2001), 254
			}
			u, err := From(d, host)
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".json") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(render(u)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got := render(u); got != string(want) {
				t.Errorf("the unit changed; got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func decide(t testing.TB, p *policy.Policy, file string) *policy.Decision {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := new(policy.Request)
	if err := json.Unmarshal(text, r); err != nil {
		t.Fatal(err)
	}
	d, err := p.Decide(policy.Peer{UID: 991}, r)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestSessionIsNotMadeByHalves guards that no unit gets a session's descriptors,
// and no session a unit's.
func TestSessionIsNotMadeByHalves(t *testing.T) {
	p, with := testPolicy(t), host
	with.Session = &Session{Unit: "nomad-db-0123.service", Stdin: 6}
	if _, err := From(decide(t, p, "testdata/session.json"), host); err == nil {
		t.Error("a session was made of what was prepared for a unit")
	}
	if _, err := From(decide(t, p, "testdata/full.json"), with); err == nil {
		t.Error("a unit was made of what was prepared for a session")
	}
}

// render shows a unit as text: its name, and a line for each property.
func render(u *Unit) string {
	var b strings.Builder
	fmt.Fprintln(&b, u.Name())
	for _, p := range u.Properties() {
		fmt.Fprintln(&b, p.Name, p.Value.Signature(), p.Value)
	}
	return b.String()
}

// TestForcedValuesComeLast guards the order: whatever comes before, what PID 1
// reads last is in force, and nothing sets a forced property a second time.
func TestForcedValuesComeLast(t *testing.T) {
	d := decide(t, testPolicy(t), "testdata/full.json")
	u, err := From(d, host)
	if err != nil {
		t.Fatal(err)
	}
	props := u.Properties()
	tail := props[len(props)-len(floor):]
	for i, p := range floor {
		if tail[i].Name != p.Name {
			t.Fatalf("property %d from the end is %s, want %s", len(floor)-i, tail[i].Name, p.Name)
		}
	}
	seen := make(map[string]int)
	for _, p := range props {
		seen[p.Name]++
	}
	for name, n := range seen {
		// What policy decided on may add to lists, and repeat what is forced.
		decided := slices.ContainsFunc(d.Values(), func(v directive.Setting) bool { return v.Name == name })
		if n > 1 && !decided {
			t.Errorf("%s is set %d times", name, n)
		}
	}
}

// TestNoTextChangesTheUnitFile guards the rule that no string of a unit can end
// its line in the transient unit file or join it to the next one. Arguments
// are escaped by PID 1, which expands variables in them.
func TestNoTextChangesTheUnitFile(t *testing.T) {
	u, err := From(decide(t, testPolicy(t), "testdata/hostile.json"), host)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range u.Properties() {
		s, ok := p.Value.Value().(string)
		if ok && (strings.ContainsAny(s, "\n\r\x00%") || strings.HasSuffix(s, `\`)) {
			t.Errorf("%s holds %q", p.Name, s)
		}
		commands, _ := p.Value.Value().([]exec)
		for _, c := range commands {
			for _, arg := range c.Argv {
				if strings.Contains(strings.ReplaceAll(arg, "$$", ""), "$") {
					t.Errorf("%s has %q, in which PID 1 expands a variable", p.Name, arg)
				}
			}
		}
	}
}

func TestName(t *testing.T) {
	long := strings.Repeat("x", 300)
	tests := []struct {
		name  string
		words []string
		want  string // up to the unique part
	}{
		{"words are joined", []string{"web", "3f2b6f0e"}, "nomad-web-3f2b6f0e-"},
		{"no words", nil, "nomad-"},
		{"an empty word is left out", []string{"", "a"}, "nomad-a-"},
		{"nothing that systemd reads is kept", []string{`a/b@c%d\e.f-g h`, "é\n"}, "nomad-a_b_c_d_e_f_g_h-___-"},
		{"a long word is cut", []string{long}, "nomad-" + long[:maxWord] + "-"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Name("nomad", tt.words, "id")
			if got != tt.want+unique("id")+".service" {
				t.Errorf("got %q, want %q + the unique part", got, tt.want)
			}
		})
	}
	if Name("nomad", []string{"a"}, "1") == Name("nomad", []string{"a"}, "2") {
		t.Error("two ids have one name")
	}
}

func FuzzName(f *testing.F) {
	f.Add("web", "alloc", "id")
	f.Add("../../etc", "a@b.service", "\x00")
	f.Add(strings.Repeat("x", 300), "alloc", "id")
	f.Fuzz(func(t *testing.T, word, other, id string) {
		name := Name("nomad", []string{word, other, word, other}, id)
		if len(name) > 255 {
			t.Errorf("%d bytes: %q", len(name), name)
		}
		base := strings.TrimSuffix(name, suffix)
		if strings.Trim(base, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
			t.Errorf("%q is not a plain name", name)
		}
		if user := DynamicUserName("nomad", id, 1); len(user) > 31 {
			t.Errorf("user name %q is over 31 bytes", user)
		}
	})
}
