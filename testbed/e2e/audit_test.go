// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Kinds of the broker's records, see docs/audit.md.
const (
	startAllowed  = "MESSAGE_ID=6d3df12d1b594569b91d74834c89a823"
	startDenied   = "MESSAGE_ID=ac30d869f0e8420babed4f344f8873cb"
	unitStopped   = "MESSAGE_ID=0318ce39efa74b9fab027f748f57b2ff"
	policyLoaded  = "MESSAGE_ID=e893fbc3d6b6453daea47106e7b42d8b"
	policyRefused = "MESSAGE_ID=dbbc65e9bf55442e9fa7ab4cc137ed6d"
	unitUnwanted  = "MESSAGE_ID=65ab7ea20eea48879cb98f9945ee135f"
)

// recordAfter does something and returns the first of the broker's records that
// matches after it.
func recordAfter(t *testing.T, do func(), matches ...string) map[string]any {
	t.Helper()
	run(t, "journalctl", "--sync") // what was written before has an earlier time then
	now := time.Now()
	since := fmt.Sprintf("--since=@%d.%06d", now.Unix(), now.Nanosecond()/1000)
	do()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "journalctl", append([]string{"--follow", "--quiet", "-o", "json", since}, matches...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReaderSize(out, 1<<20).ReadBytes('\n')
	cancel()
	_ = cmd.Wait()
	var record map[string]any
	if err == nil {
		err = json.Unmarshal(line, &record)
	}
	if err != nil {
		t.Fatalf("no record %v: %v", matches, err)
	}
	return record
}

func brokerStatus(t *testing.T) string {
	t.Helper()
	return run(t, "systemctl", "show", "--property=StatusText", "--value", "systemd-brokerd")
}

const rulesOfBob = `version = 1
rule "e2e-of-bob" {
  client      = "nomad"
  log_drivers = ["fds"]
  exec {
    under = ["/usr/libexec/e2e"]
  }
  run_as {
    users = ["bob"]
  }
}
`

// TestPolicyFollowsItsFilesOnRecord: a rule comes and goes, and a mistake; a task
// that the rule allowed is told of, ended and refused. All of it is on record.
func TestPolicyFollowsItsFilesOnRecord(t *testing.T) {
	const canary = "canary-8d02ab"
	of := func(name string) string { return filepath.Join(policyDir, name) }
	bob, bad := of("30-bob.hcl"), of("90-bad.hcl")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		_, _ = os.Remove(bob), os.Remove(bad)
		run(t, "systemctl", "restart", "systemd-brokerd")
	})
	recordAfter(t, func() { write(bob, rulesOfBob) }, policyLoaded)

	config := command("tick")
	config["args"] = append(config["args"].([]string), canary)
	j := submit(t, task{Type: "service", User: "bob", Config: config, Env: map[string]string{"SECRET": canary}, Restarts: 1})
	j.await("running")
	unit, pid := j.unit(), j.pid()

	refused := recordAfter(t, func() { write(bad, "version = 1\nrule \"x\" {\n  cleint = \"nomad\"\n}\n") }, policyRefused)
	if reason, _ := refused["BROKER_REASON"].(string); !strings.Contains(reason, "90-bad.hcl:3") || !strings.Contains(reason, "cleint") {
		t.Errorf("the record of the mistake is %v", refused)
	}
	awaitTrue(t, "systemctl status does not tell of the mistake", func() bool {
		s := brokerStatus(t)
		return strings.HasPrefix(s, "The last reload failed: ") && strings.Contains(s, "90-bad.hcl:3") && strings.HasSuffix(s, " in force.")
	})
	if out, err := exec.Command("systemctl", "reload", "systemd-brokerd").CombinedOutput(); err == nil {
		t.Errorf("systemctl reload does not tell of the mistake: %s", out)
	}
	recordAfter(t, func() { _ = os.Remove(bad) }, policyLoaded)

	recordAfter(t, func() { _ = os.Remove(bob) }, unitUnwanted, "BROKER_UNIT="+unit)
	if out := run(t, "sh", "-c", "systemd-brokerd reconcile; test $? = 1"); !strings.Contains(out, unit) || !strings.Contains(out, `user "bob"`) || j.pid() != pid {
		t.Errorf("reconcile says: %s", out)
	}
	run(t, "systemd-brokerd", "reconcile", "--enforce")
	text := j.messages(j.await("failed"))
	if !strings.Contains(text, `user "bob"`) || !strings.Contains(text, "journalctl -x BROKER_REQUEST_ID=") {
		t.Errorf("the author of the job is told:\n%s", text)
	}
	if out := run(t, "sh", "-c", "systemd-brokerd reconcile || true"); strings.Contains(out, unit) {
		t.Errorf("after --enforce reconcile says: %s", out)
	}

	for id, want := range map[string]string{
		startAllowed: "A start of " + unit + " was allowed",
		startDenied:  "was denied by the policy",
		unitStopped:  "The unit " + unit + " was stopped",
	} {
		if out := journal(t, "-x", id, "NOMAD_ALLOC_ID="+j.alloc); !strings.Contains(out, want) {
			t.Errorf("journalctl -x %s lacks %q:\n%s", id, want, out)
		}
	}
	asked := journal(t, "-o", "cat", "--output-fields=BROKER_REQUEST", startAllowed, "BROKER_UNIT="+unit)
	if !json.Valid([]byte(asked)) || !strings.Contains(asked, `"user":"bob"`) {
		t.Errorf("the request on record is %s", asked)
	}
	if out := journal(t, "-u", unit, "-o", "cat"); !strings.Contains(out, "unit started request_id=") {
		t.Errorf("journalctl -u %s lacks the broker's records:\n%s", unit, out)
	}
	if strings.Contains(journal(t, "-o", "export", "-u", "systemd-brokerd"), canary) {
		t.Error("the records hold arguments or the environment")
	}
}
