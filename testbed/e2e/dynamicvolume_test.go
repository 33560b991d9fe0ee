// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// dynamicVolume is a volume as docs/job-reference.md has it, and dynamicPolicy the rule
// that lets tasks have it.
const (
	dynamicVolume = `
name      = "dynamic"
type      = "host"
plugin_id = "mkdir"

capability {
  access_mode     = "single-node-writer"
  attachment_mode = "file-system"
}

parameters {
  mode = "0777"
}
`
	dynamicPolicy = `
version = 1

rule "e2e-dynamic-volumes" {
  client      = "nomad"
  log_drivers = ["fds"]

  exec {
    under = ["/local"]
  }

  run_as {
    dynamic_user = true
  }

  volumes {
    read_write = ["/var/lib/nomad/host_volumes"]
  }
}
`
)

// TestDynamicVolume: an agent without privileges makes a volume when it is asked to, tasks
// have it if the policy says so, and it removes what it can.
func TestDynamicVolume(t *testing.T) {
	spec, rule := filepath.Join(t.TempDir(), "volume.hcl"), policyDir+"/40-dynamic.hcl"
	if err := os.WriteFile(spec, []byte(dynamicVolume), 0o600); err != nil {
		t.Fatal(err)
	}
	created := run(t, "nomad", "volume", "create", spec)
	id := regexp.MustCompile("[0-9a-f]{8}-[0-9a-f-]{27}").FindString(created)
	dir := filepath.Join("/var/lib/nomad/host_volumes", id)
	if is := run(t, "stat", "-c", "%U %a", dir); is != "nomad 777" {
		t.Errorf("the volume is %s", is)
	}
	tk := script("umask 0; [ -e /data/sub ] || { mkdir -m 755 /data/sub; echo x >/data/sub/file; }; id -u >>/data/users; cat /data/users")
	tk.Volume = "dynamic"
	t.Run("that no rule lists", func(t *testing.T) {
		if out, events := result(t, tk); out != "" || !strings.Contains(events, dir) || !strings.Contains(events, "no rule lets this task write to it") {
			t.Errorf("no event says that no rule lists %s:\n%s%s", dir, out, events)
		}
	})
	if err := os.WriteFile(rule, []byte(dynamicPolicy), 0o644); err != nil {
		t.Fatal(err)
	}
	inForce := func() { run(t, "systemctl", "restart", brokerService); driverHealth(t, healthy) }
	t.Cleanup(func() { _ = os.Remove(rule); inForce() })
	inForce()
	for n, run := range []string{"first", "second"} {
		t.Run(run, func(t *testing.T) {
			out, events := result(t, tk)
			if users := strings.Fields(out); len(users) != n+1 || n == 1 && users[0] == users[1] {
				t.Errorf("in the volume are the uids %q, want %d different ones; events:\n%s", out, n+1, events)
			}
		})
	}
	remove := func() (string, error) {
		out, err := exec.Command("nomad", "volume", "delete", "-type", "host", id).CombinedOutput()
		return string(out), err
	}
	if out, err := remove(); err == nil || !strings.Contains(out, "permission denied") {
		t.Errorf("the agent removes a directory of somebody else: %v: %s", err, out)
	}
	run(t, "rm", "-r", dir+"/sub")
	if out, err := remove(); err != nil {
		t.Errorf("the agent does not remove the volume: %v: %s", err, out)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is left of the volume: %v", err)
	}
}
