// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const matched = "/usr/libexec/e2e-matched"

// matchedTask runs a program that only the rule e2e-matched allows.
func matchedTask(args ...string) task {
	return task{Type: "service", Config: map[string]any{"command": matched, "args": args, "network": "none"}}
}

// TestPolicyMatchers: each part of a rule holds in front of a real agent, and the
// tools say of the same jobs what the broker does.
func TestPolicyMatchers(t *testing.T) {
	t.Parallel()
	if err := copyFile("/srv/artifacts/hello", matched, 0o755); err != nil {
		t.Fatal(err)
	}
	first := submitAs(t, "policymatchers-first", matchedTask("tick", "/local/x"))
	first.await("running")

	network, large, labels := matchedTask("tick"), matchedTask("tick"), matchedTask("tick")
	delete(network.Config, "network")
	large.Config["cpu_weight"] = 101
	for _, row := range []struct {
		id    string
		task  task
		want  string // in the task's events
		first string // what policy explain says; empty if it allows it
	}{
		{"policymatchers-second", matchedTask("tick"), "quotas.units", ""},
		{"policymatchers-args", matchedTask("lines"), `args "argument 1"`, `args "argument 1"`},
		{"policymatchers-dots", matchedTask("tick", "/local/../x"), `args "argument 2"`, `args "argument 2"`},
		{"policymatchers-never", matchedTask("tick", "--forbidden=1"), `never "e2e-forbidden"`, `never "e2e-forbidden"`},
		{"policymatchers-network", network, `network "host"`, `network "host"`},
		{"policymatchers-weight", large, "cpu_weight 101", "cpu_weight 101"},
		{"othermatchers", labels, "is refused by the policy", `labels "NOMAD_JOB_ID=othermatchers"`},
	} {
		t.Run(row.id, func(t *testing.T) {
			t.Parallel()
			text, err := explained(t, row.id, row.task)
			if (err == nil) != (row.first == "") || !strings.Contains(text, row.first) {
				t.Errorf("policy explain: %v, want %q in\n%s", err, row.first, text)
			}
			j := submitAs(t, row.id, row.task)
			if text := j.messages(j.await("failed")); !strings.Contains(text, row.want) || strings.Contains(text, "Started:") {
				t.Errorf("%q is missing in the events, or the task was started:\n%s", row.want, text)
			}
		})
	}
}

// explained is what the tools say of a job.
func explained(t *testing.T, id string, tk task) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "job.json")
	text, err := json.Marshal(map[string]any{"Job": tk.job(id)})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-brokerd", "policy", "explain", file).CombinedOutput()
	return string(out), err
}

// TestPolicyTools: on a host as it is installed, with a job as Nomad prints it.
func TestPolicyTools(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const job = `variable "memory" {
  type    = number
  default = 128
}

job "tools" {
  group "g" {
    task "t" {
      driver = "systemd"
      identity {
        name = "systemd-brokerd"
        aud  = ["systemd-brokerd"]
        file = true
        ttl  = "1h"
      }
      config {
        command = "local/x"
        args    = ["${NOMAD_TASK_DIR}", "${NOMAD_PORT_http}"]
        logging {
          driver = "journald"
        }
      }
      resources {
        memory     = 64
        memory_max = var.memory
      }
    }
  }
}
`
	if err := os.WriteFile(filepath.Join(dir, "job.nomad.hcl"), []byte(job), 0o600); err != nil {
		t.Fatal(err)
	}
	requests := run(t, "sh", "-c", "nomad job run -output "+dir+"/job.nomad.hcl | /usr/libexec/nomad/plugins/nomad-systemd-driver requests")
	for _, want := range []string{`"/local/x"`, `"/local","${NOMAD_PORT_http}"`, "DRIVER_JOURNAL", `"134217728"`, `"NOMAD_JOB_ID":"tools"`, `"planned:{\"aud\":[\"systemd-brokerd\"],\"exp\":true}"`} {
		if !strings.Contains(strings.ReplaceAll(requests, ", ", ","), want) {
			t.Errorf("%s is missing in the request %s", want, requests)
		}
	}
	if out := run(t, "sh", "-c", "/usr/libexec/nomad/plugins/nomad-systemd-driver requests --nomad /usr/bin/nomad --var=memory=128 "+dir+"/job.nomad.hcl | systemd-brokerd policy explain"); !strings.Contains(out, "allowed by rule") {
		t.Errorf("policy explain: %s", out)
	}
	run(t, "sh", "-c", "mkdir "+dir+"/starter "+dir+"/policy.d && cp "+policyDir+"/10-nomad.* "+dir+"/starter")
	if out := run(t, "systemd-brokerd", "policy", "test", "--strict", "--policy", dir+"/starter"); !strings.Contains(out, "7 of 7 tests pass") {
		t.Errorf("policy test: %s", out)
	}
	// Where everybody could put another directory no policy is trusted.
	run(t, "sh", "-c", "systemd-brokerd policy init >"+dir+"/policy.d/10-nomad.hcl")
	if out, err := exec.Command("systemd-brokerd", "policy", "check", "--policy", dir+"/policy.d").CombinedOutput(); err == nil || !strings.Contains(string(out), "/tmp can be changed by others than root") {
		t.Errorf("policy check below /tmp: %v\n%s", err, out)
	}
	run(t, "sh", "-c", "rm -rf /root/tools && cp -r "+dir+" /root/tools && systemd-brokerd policy check --policy /root/tools/policy.d && rm -r /root/tools")
}

// TestDeniedJobGetsItsRule: from the event of a denied job, by what is on record of it,
// to a rule, what the rule changes, and the same job running.
func TestDeniedJobGetsItsRule(t *testing.T) {
	const program, file = "/usr/libexec/e2e-wish", policyDir + "/50-wish.hcl"
	if err := copyFile("/srv/artifacts/hello", program, 0o755); err != nil {
		t.Fatal(err)
	}
	wish := task{Type: "service", Config: map[string]any{"command": program, "args": []string{"tick"}}}
	denied := submitAs(t, "deniedjob", wish)
	denied.await("failed")
	// As the author sees it: the command that prints events has its own idea of some
	// characters.
	event := run(t, "nomad", "alloc", "status", denied.alloc)
	command := regexp.MustCompile(`systemd-brokerd policy explain <\(journalctl -o json BROKER_REQUEST_ID=[0-9a-f]{16}\)`).FindString(event)
	if command == "" {
		t.Fatalf("the event names no command:\n%s", event)
	}
	run(t, "journalctl", "--sync")
	out, err := exec.Command("bash", "-c", command).CombinedOutput()
	for _, want := range []string{`recorded: denied: command "/usr/libexec/e2e-wish"`, "RULE", "task-binaries", "10-nomad.hcl:"} {
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, want %q in\n%s", command, err, want, out)
		}
	}

	records := recordsOf(t, "deniedjob")
	rule := run(t, "sh", "-c", "systemd-brokerd policy suggest <"+records)
	for _, want := range []string{`paths = ["/usr/libexec/e2e-wish"]`, `JOB_ID     = ["deniedjob"]`, `memory_max      = "32MiB"`} {
		if !strings.Contains(rule, want) {
			t.Errorf("the suggestion lacks %s:\n%s", want, rule)
		}
	}
	after := t.TempDir() + "/policy.d"
	run(t, "cp", "-r", policyDir, after)
	if err := os.WriteFile(after+"/50-wish.hcl", []byte(rule), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err = exec.Command("sh", "-c", "systemd-brokerd policy diff "+policyDir+" "+after+" <"+records).CombinedOutput()
	if err == nil || !strings.Contains(string(out), `+ allowed by rule "suggested-1-deniedjob-task"`) || !strings.Contains(string(out), "1 requests, 1 answered otherwise") {
		t.Errorf("policy diff: %v\n%s", err, out)
	}

	t.Cleanup(func() {
		_ = os.Remove(file)
		run(t, "systemctl", "restart", "systemd-brokerd")
	})
	recordAfter(t, func() { run(t, "cp", after+"/50-wish.hcl", file) }, policyLoaded)
	denied.purge()
	again := submitAs(t, "deniedjob", wish)
	isNew := func(a allocation) bool { return a.ID != denied.alloc }
	all := watch(t, "/job/deniedjob/allocations", func(all []allocation) bool { return slices.ContainsFunc(all, isNew) })
	again.alloc = all[slices.IndexFunc(all, isNew)].ID
	again.await("running")
	again.stop()
	if out := run(t, "sh", "-c", "systemd-brokerd policy suggest <"+recordsOf(t, "deniedjob")); !strings.Contains(out, "none of them a denial") {
		t.Errorf("with the rule in force policy suggest says\n%s", out)
	}
}

// recordsOf is a file with the broker's records of a job.
func recordsOf(t *testing.T, job string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "records")
	must(t, os.WriteFile(file, []byte(journal(t, "-u", brokerService, "-o", "json", "NOMAD_JOB_ID="+job)), 0o600))
	return file
}

// TestHostilePolicyFiles are refused one after the other, and the broker lives.
func TestHostilePolicyFiles(t *testing.T) {
	const bad = policyDir + "/90-hostile.hcl"
	broker := mainPID(t, brokerService)
	t.Cleanup(func() {
		_ = os.Remove(bad)
		run(t, "systemctl", "restart", "systemd-brokerd") // a reload may return before the policy is read
	})
	for _, row := range []struct{ name, make, want string }{
		{"a FIFO", "mkfifo -m 644 " + bad, "neither a file nor a directory"},
		{"a symlink", "ln -s /etc/passwd " + bad, "neither a file nor a directory"},
		{"a file of somebody else", "echo version = 1 >/root/h && chown nobody /root/h && mv /root/h " + bad, "can be changed by others than root"},
		{"a file of all", "echo version = 1 >/root/h && chmod 666 /root/h && mv /root/h " + bad, "can be changed by others than root"},
		{"a NUL", `printf 'version = 1\n# \0' >` + bad, "U+0000"},
		{"200000 brackets", `(printf 'a = '; head -c 200000 /dev/zero | tr '\0' '[') >/root/h && mv /root/h ` + bad, "nested more than 32 deep"},
		{"two mebibytes", `head -c 2097152 /dev/zero | tr '\0' '#' >/root/h && mv /root/h ` + bad, "larger than 1048576 bytes"},
		{"a huge number", `echo version = 1e999999999 >` + bad, "not a whole number"},
	} {
		record := recordAfter(t, func() { run(t, "sh", "-c", row.make) }, policyRefused)
		if reason, _ := record["BROKER_REASON"].(string); !strings.Contains(reason, row.want) {
			t.Errorf("%s: the record says %q, want %q", row.name, reason, row.want)
		}
		recordAfter(t, func() { run(t, "rm", bad) }, policyLoaded)
	}
	if now := mainPID(t, brokerService); now != broker {
		t.Errorf("the broker was %d and is %d", broker, now)
	}
}
