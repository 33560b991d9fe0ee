// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMigratedJobRuns: a job for raw_exec, changed as the report says, with the rule that
// is drafted for it and with no other.
func TestMigratedJobRuns(t *testing.T) {
	const file = policyDir + "/50-migrated.hcl"
	text, err := json.Marshal(map[string]any{"Job": task{Config: map[string]any{"command": "uname", "args": []string{"-s"}}}.job("migrated")})
	if err != nil {
		t.Fatal(err)
	}
	before := strings.Replace(string(text), `"Driver":"systemd"`, `"Driver":"raw_exec"`, 1)
	cmd := exec.Command("/usr/libexec/nomad/plugins/nomad-systemd-driver", "migrate", "--json")
	cmd.Stdin = strings.NewReader(before)
	out, err := cmd.Output()
	var report struct {
		Findings []struct{ Level, Text string }
		Policy   string
	}
	if err != nil || json.Unmarshal(out, &report) != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	if !strings.Contains(string(out), `write its path, for example \"/usr/bin/uname\"`) {
		t.Errorf("the report does not say what to change:\n%s", out)
	}

	after := task{Config: map[string]any{"command": "/usr/bin/uname", "args": []string{"-s"}}}
	if text, err := explained(t, "migrated", after); err == nil {
		t.Fatalf("it is allowed without the draft:\n%s", text)
	}
	draft := filepath.Join(t.TempDir(), "draft.hcl")
	if err := os.WriteFile(draft, []byte(report.Policy), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = os.Remove(file)
		run(t, "systemctl", "restart", "systemd-brokerd")
	})
	recordAfter(t, func() { run(t, "cp", draft, file) }, policyLoaded)
	j := submitAs(t, "migrated", after)
	j.await("complete")
	j.awaitLog("Linux\n")
}
