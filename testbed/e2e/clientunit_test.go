// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// TestClientStartsFromItsServiceOnly, where the kernel tells; elsewhere nothing starts,
// and the policy's check says why.
func TestClientStartsFromItsServiceOnly(t *testing.T) {
	const file = policyDir + "/10-nomad.hcl"
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	put := func(text []byte) {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Error(err)
		}
		run(t, "systemctl", "restart", "systemd-brokerd")
		driverHealth(t, healthy)
	}
	t.Cleanup(func() { put(before) })
	put([]byte(strings.Replace(string(before), "  max_units", "  unit = \"nomad.service\"\n  max_units", 1)))

	release := run(t, "sh", "-c", ". /etc/os-release && echo $VERSION_CODENAME")
	check, _ := exec.Command("systemd-brokerd", "policy", "check").CombinedOutput()
	tells := !strings.Contains(string(check), "the kernel does not say")
	if tells == (release == "bookworm") {
		t.Errorf("on %s policy check says:\n%s", release, check)
	}

	j := submit(t, task{Config: command()})
	if tells {
		j.await("complete")
	} else if text := j.messages(j.await("failed")); !strings.Contains(text, "must connect from its own service, and it cannot be told") {
		t.Errorf("the author of the job is told:\n%s", text)
	}

	// This test is the same user, in a session.
	nomad, group := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad")
	_, err = brokerAs(t, nomad, group).StartUnit(t.Context(), &brokerv1.StartUnitRequest{Spec: &brokerv1.UnitSpec{
		Id: "unit/" + rand.Text(), Name: []string{"unit"}, Command: hello, Directories: raceDirectories(t, nomad, group), WorkingDirectory: "/",
		Resources: &brokerv1.Resources{MemoryMaxBytes: 64 << 20}, Logging: &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_NONE},
	}})
	if err == nil || !strings.Contains(err.Error(), "must connect from its own service") {
		t.Errorf("from elsewhere: %v", err)
	}
}

// TestVariablesOfTheLoaderTakeARule for a user of the host; the tools know it of what
// is recorded, and nobody the value.
func TestVariablesOfTheLoaderTakeARule(t *testing.T) {
	const value = "/local/canary-5b1d.so"
	env := map[string]string{"LD_PRELOAD": value}
	submitAs(t, "preload-own", task{Config: command(), Env: env}).await("complete")

	j := submitAs(t, "preload", task{Config: command(), User: "alice", Env: env})
	if text := j.messages(j.await("failed")); !strings.Contains(text, `env "LD_PRELOAD"`) || strings.Contains(text, "Started:") {
		t.Errorf("the author of the job is told:\n%s", text)
	}
	records := recordsOf(t, "preload")
	out, err := exec.Command("sh", "-c", "systemd-brokerd policy explain <"+records).CombinedOutput()
	if err == nil || !strings.Contains(string(out), `denied: env "LD_PRELOAD"`) {
		t.Errorf("policy explain: %v\n%s", err, out)
	}
	rule := run(t, "sh", "-c", "systemd-brokerd policy suggest <"+records)
	if !strings.Contains(rule, `names = ["LD_PRELOAD"]`) || !strings.Contains(rule, `users = ["alice"]`) {
		t.Errorf("policy suggest:\n%s", rule)
	}
	if out := run(t, "cat", records); strings.Contains(out, value) {
		t.Errorf("the value is on record:\n%s", out)
	}
}

// metrics is what Prometheus reads.
func metrics(t *testing.T) string {
	t.Helper()
	return run(t, "curl", "--silent", "--show-error", "--fail", "--unix-socket", "/run/systemd-brokerd-exporter/metrics.sock", "http://localhost/metrics")
}

// TestMistakeAtStartIsInTheStatus, with its place, on record, and a metric.
func TestMistakeAtStartIsInTheStatus(t *testing.T) {
	bad := filepath.Join(policyDir, "90-bad.hcl")
	if err := os.WriteFile(bad, []byte("version = 1\n\nrule \"x\" {\n  cleint = \"nomad\"\n}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = os.Remove(bad)
		run(t, "systemctl", "restart", "systemd-brokerd")
		driverHealth(t, healthy)
	})
	record := recordAfter(t, func() { run(t, "systemctl", "restart", "systemd-brokerd") }, policyRefused)
	if reason, _ := record["BROKER_REASON"].(string); !strings.Contains(reason, "90-bad.hcl:4") {
		t.Errorf("the record is %v", record)
	}
	if s := brokerStatus(t); !strings.HasPrefix(s, "Denying all: the policy cannot be loaded: 90-bad.hcl:4:3: ") || !strings.Contains(s, "cleint") {
		t.Errorf("systemctl status shows %q", s)
	}
	if m := metrics(t); !strings.Contains(m, "systemd_brokerd_policy_info{sha256=\"\"} 0\n") || !strings.Contains(m, "systemd_brokerd_policy_refused 1\n") {
		t.Errorf("the metrics do not tell:\n%s", m)
	}
}
