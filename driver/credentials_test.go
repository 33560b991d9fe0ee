// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"strings"
	"testing"

	"github.com/hashicorp/nomad/helper/pluginutils/hclutils"
	"github.com/hashicorp/nomad/plugins/drivers"
)

func TestSessionAsksForCredentialsByNameOnly(t *testing.T) {
	c := newTaskConfig(t, parse(t, `
		command = "/bin/a"
		credential "inline" { content = "canary" }
		credential "file" { source = "secrets/canary" }`))
	spec, err := sessionSpec(c, &drivers.ExecOptions{Command: []string{"id"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := spec.GetCredentials(); len(got) != 2 || got[0].GetName() != "file" || got[1].GetName() != "inline" || strings.Contains(spec.String(), "canary") {
		t.Errorf("the session asks for %v", spec)
	}
}

func TestCredentialThatIsNotOne(t *testing.T) {
	for config, want := range map[string]string{
		`credential "a" { }`:              `credential "a": set either source`,
		`credential "a" { content = "" }`: `credential "a": set either source`,
		`credential "a" {
			source  = "secrets/a"
			content = "b"
		}`: `credential "a": set either source`,
		`credential "a" { source = "/etc/shadow" }`:         `"/etc/shadow" is not a file in secrets/, local/ or alloc/`,
		`credential "a" { source = "a" }`:                   `"a" is not a file in`,
		`credential "a" { source = "secrets" }`:             `"secrets" is not a file in`,
		`credential "a" { source = "secrets/../local/a" }`:  "is not a file in",
		`credential "a" { source = "secrets/../../x/key" }`: "is not a file in",
	} {
		_, err := unitSpec(newTaskConfig(t, parse(t, "command = \"/bin/a\"\n"+config)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", config, err, want)
		}
	}
}

func FuzzInView(f *testing.F) {
	for _, s := range []string{"secrets/a", "/local/a", "alloc//b/", "../x", "", "secrets/.."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file string) {
		got, err := inView(file)
		if err != nil {
			return
		}
		if parts := strings.Split(got, "/"); len(parts) < 3 || parts[0] != "" || strings.Contains(got+"/", "/../") || strings.Contains(got, "//") {
			t.Errorf("inView(%q) = %q", file, got)
		}
	})
}

// TestCredentialsOfJobsInJSON takes both forms: that of `nomad job run` and the
// plain one of Nomad's API.
func TestCredentialsOfJobsInJSON(t *testing.T) {
	for _, config := range []string{
		`{"Config": {"credential": [{"a": [{"source": "secrets/a"}]}, {"b": [{"content": "c"}]}]}}`,
		`{"Config": {"credential": {"a": {"source": "secrets/a"}, "b": {"content": "c"}}}}`,
	} {
		var tc TaskConfig
		hclutils.NewConfigParser(taskConfigSpec).ParseJson(t, config, &tc)
		all, err := tc.credentials()
		if err != nil || len(all) != 2 || all[0].GetSource() != "/secrets/a" || string(all[1].GetContent()) != "c" {
			t.Errorf("%s: %v, %v", config, all, err)
		}
	}
}

// TestEachCredentialHasItsOwnContents: maps are decoded in any order.
func TestEachCredentialHasItsOwnContents(t *testing.T) {
	for range 20 {
		tc := parse(t, `
			credential "a" { content = "1" }
			credential "b" { content = "2" }
			credential "c" { source = "secrets/c" }
			credential "d" { source = "secrets/d" }`)
		all, err := newDecoded(t, tc).credentials()
		if err != nil || len(all) != 4 {
			t.Fatalf("%v, %v", all, err)
		}
		if got := string(all[0].GetContent()) + string(all[1].GetContent()) + all[2].GetSource() + all[3].GetSource(); got != "12/secrets/c/secrets/d" {
			t.Fatalf("they are %v", all)
		}
	}
}

// newDecoded is a config as the driver reads it of a task.
func newDecoded(t *testing.T, tc TaskConfig) *TaskConfig {
	t.Helper()
	var out TaskConfig
	if err := newTaskConfig(t, tc).DecodeDriverConfig(&out); err != nil {
		t.Fatal(err)
	}
	return &out
}
