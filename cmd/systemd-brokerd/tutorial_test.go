// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// TestTutorialShowsWhatExplainSays of its three jobs, word by word.
func TestTutorialShowsWhatExplainSays(t *testing.T) {
	tutorial, err := os.ReadFile("../../docs/policy-tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	starter, err := os.ReadFile("../../deploy/systemd/policy.d/10-nomad.hcl")
	if err != nil {
		t.Fatal(err)
	}
	dir := policyDir(t, twoRules)
	text := strings.Replace(string(starter), `user        = "nomad"`, `uid         = 4000`, 1) // it need not be on this host
	if err := errors.Join(os.Remove(dir+"/a.hcl"), os.WriteFile(dir+"/10-nomad.hcl", []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
	const none = "00000000-0000-0000-0000-000000000000"
	for _, job := range []struct{ task, command, more string }{
		{"perl", "/usr/bin/perl", `"resources": {"memoryMaxBytes": "67108864"}`},
		{"hello", "/local/hello", `"user": "root", "resources": {"memoryMaxBytes": "67108864"}`},
		{"hello", "/local/hello", `"resources": {"memoryUnlimited": true}`},
	} {
		request := fmt.Sprintf(`{"id": %q, "command": %q, "logging": {"driver": "DRIVER_FDS"}, "directories": {"alloc": %q, "local": %q, "secrets": %q}, %s}`,
			none+"/"+job.task+"/planned", job.command, "/var/lib/nomad/alloc/x/alloc", "/var/lib/nomad/alloc/x/t/local", "/var/lib/nomad/alloc/x/t/secrets", job.more)
		var out strings.Builder
		if err := policyExplain([]string{"--policy", dir}, strings.NewReader(request), &out, io.Discard); !errors.Is(err, errDenied) {
			t.Fatalf("%v\n%s", err, out.String())
		}
		if indented := "    " + strings.ReplaceAll(strings.TrimSpace(out.String()), "\n", "\n    "); !strings.Contains(string(tutorial), indented+"\n") {
			t.Errorf("the tutorial lacks\n%s", indented)
		}
	}
}
