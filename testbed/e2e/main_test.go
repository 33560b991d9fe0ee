// SPDX-License-Identifier: MPL-2.0

//go:build e2e

// Package e2e tests the whole chain on real systemd: a Nomad agent without
// privileges, the driver, the broker, PID 1. It runs as root in a VM of the
// test bed, where the agent is up and may be stopped and killed at will; see
// testbed/README.md. Nothing in it is mocked.
package e2e

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nomad-systemd-driver/examples"
)

const (
	policyDir = "/etc/systemd-brokerd/policy.d"
	policy    = policyDir + "/20-e2e.hcl"
	// hello is examples/hello, where the tests' policy lets it run.
	hello = "/usr/libexec/e2e/hello"
)

//go:embed policy.hcl
var policyText []byte

func TestMain(m *testing.M) {
	if err := setUp(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot set the end-to-end tests up:", err)
		os.Exit(1)
	}
	code := m.Run()
	if left := leftBehind(""); len(left) > 0 && os.Getenv("E2E_REBOOT") != "before" {
		fmt.Fprintln(os.Stderr, "FAIL: after all tests there are still", left)
		code = 1
	}
	os.Exit(code)
}

// setUp gives the tests their policy and the program that their jobs run.
func setUp() error {
	if err := os.MkdirAll(filepath.Dir(hello), 0o755); err != nil {
		return err
	}
	if err := copyFile("/srv/artifacts/hello", hello, 0o755); err != nil {
		return err
	}
	if err := copyFile("/srv/artifacts/hello", hello+"-not-executable", 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(policy, policyText, 0o644); err != nil {
		return err
	}
	forExamples, err := examples.Files.ReadFile("policy.hcl")
	if err != nil {
		return err
	}
	if err := os.WriteFile(policyDir+"/30-examples.hcl", forExamples, 0o644); err != nil {
		return err
	}
	// A restart returns when the policy is read; a reload may return before.
	if out, err := exec.Command("systemctl", "restart", "systemd-brokerd").CombinedOutput(); err != nil {
		return fmt.Errorf("systemctl restart systemd-brokerd: %w: %s", err, out)
	}
	return policyInForce()
}

// policyInForce is an error unless the broker took the policy: each test would
// fail without it, and none would say why.
func policyInForce() error {
	out, err := exec.Command("systemctl", "show", "--property=StatusText", "--value", "systemd-brokerd").Output()
	if err != nil {
		return fmt.Errorf("systemctl show systemd-brokerd: %w", err)
	}
	if status := strings.TrimSpace(string(out)); !strings.HasPrefix(status, "Policy ") {
		mistakes, _ := exec.Command("systemd-brokerd", "policy", "check").CombinedOutput()
		return fmt.Errorf("the broker says %q; policy check says: %s", status, mistakes)
	}
	return nil
}

// copyFile replaces the file to: a program of that name may be running.
func copyFile(from, to string, mode os.FileMode) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to+".new", text, mode); err != nil {
		return err
	}
	return os.Rename(to+".new", to)
}

// run runs a command of the guest and returns what it prints.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}
