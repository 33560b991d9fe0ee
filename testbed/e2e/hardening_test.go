// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// TestExposure: what systemd-analyze thinks of our own units.
func TestExposure(t *testing.T) {
	for unit, most := range map[string]float64{"systemd-brokerd.service": 1.5, "systemd-brokerd-mounts.service": 5.0, "nomad.service": 2.0} {
		out := run(t, "systemd-analyze", "security", "--no-pager", unit)
		m := regexp.MustCompile(`Overall exposure level for .*: ([0-9.]+)`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("systemd-analyze says:\n%s", out)
		}
		score, err := strconv.ParseFloat(m[1], 64)
		if err != nil || score > most {
			t.Errorf("the exposure of %s is %s, want at most %.1f:\n%s", unit, m[1], most, out)
		}
		t.Logf("FIGURE exposure/%s %s points", unit, m[1])
	}
}

// TestAgentHasNoCapabilities, nor could it get any.
func TestAgentHasNoCapabilities(t *testing.T) {
	fields := procStatus(t, mainPID(t, "nomad.service"))
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if got := strings.TrimSpace(fields[set]); got != strings.Repeat("0", 16) {
			t.Errorf("%s of the agent is %q, want none", set, got)
		}
	}
	if got := strings.TrimSpace(fields["NoNewPrivs"]); got != "1" {
		t.Errorf("NoNewPrivs of the agent is %q", got)
	}
}

// TestEachCapabilityIsNeeded: the two daemons have no capability that could be taken
// away and nothing would fail.
func TestEachCapabilityIsNeeded(t *testing.T) {
	nomad, group := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad")
	dirs := raceDirectories(t, nomad, group)
	if err := tick(t, nomad, group, dirs); err != nil {
		t.Fatalf("with all capabilities: %v", err)
	}
	for _, tt := range []struct{ unit, capability, want string }{
		{"systemd-brokerd", "CAP_DAC_READ_SEARCH", "alloc: permission denied"},
		{"systemd-brokerd-mounts", "CAP_DAC_READ_SEARCH", "alloc: permission denied"},
		{"systemd-brokerd-mounts", "CAP_SYS_ADMIN", "systemd-brokerd-mounts.service gave no answer"},
		{"systemd-brokerd-mounts", "CAP_SETUID", "cannot map the ids"},
		{"systemd-brokerd-mounts", "CAP_SETGID", "cannot map the ids"},
	} {
		t.Run(tt.unit+" without "+tt.capability, func(t *testing.T) {
			dropIn(t, tt.unit+".service", "CapabilityBoundingSet=~"+tt.capability)
			err := tick(t, nomad, group, dirs)
			t.Logf("without it: %v", err)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("want an error with %q", tt.want)
			}
		})
	}
	t.Run("nothing else is there", func(t *testing.T) {
		for unit, want := range map[string]string{
			"systemd-brokerd.service":        "cap_dac_read_search",
			"systemd-brokerd-mounts.service": "cap_dac_read_search cap_setgid cap_setuid cap_sys_admin",
		} {
			if got := show(t, unit, "CapabilityBoundingSet")["CapabilityBoundingSet"]; got != want {
				t.Errorf("%s has %s, want %s", unit, got, want)
			}
		}
	})
}

// TestBrokerRefusesToRunWithoutOpenat2: RestrictSUIDSGID= makes it fail (D18).
func TestBrokerRefusesToRunWithoutOpenat2(t *testing.T) {
	const unit = "systemd-brokerd.service"
	write(t, unit, "RestrictSUIDSGID=yes")
	if err := systemctl("restart", unit); err == nil {
		t.Error("the broker runs where openat2 fails")
	}
	if out := journal(t, "-n", "20", "-u", unit); !strings.Contains(out, "the broker needs openat2(2)") {
		t.Errorf("it does not say why:\n%s", out)
	}
}

// dropIn changes a service for the test, and restarts it.
func dropIn(t *testing.T, unit, setting string) {
	t.Helper()
	write(t, unit, setting)
	// The service that makes mounts says why it cannot start when it is asked.
	if err := systemctl("restart", unit); err != nil {
		t.Logf("%s does not start: %v", unit, err)
	}
}

// write makes a drop-in, which the end of the test takes away.
func write(t *testing.T, unit, setting string) {
	t.Helper()
	dir := "/run/systemd/system/" + unit + ".d"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "e2e.conf"), []byte("[Service]\n"+setting+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
		run(t, "systemctl", "daemon-reload")
		run(t, "systemctl", "reset-failed", unit)
		run(t, "systemctl", "restart", unit)
	})
	run(t, "systemctl", "daemon-reload")
}

func systemctl(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// tick starts a unit, and removes it.
func tick(t *testing.T, uid, gid int, dirs *brokerv1.Directories) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	api := brokerAs(t, uid, gid)
	resp, err := api.StartUnit(ctx, &brokerv1.StartUnitRequest{Spec: &brokerv1.UnitSpec{
		Id: rand.Text(), Name: []string{"tick"}, Command: hello, Args: []string{"tick"},
		Directories: dirs, WorkingDirectory: "/", Resources: &brokerv1.Resources{MemoryMaxBytes: 64 << 20},
		Logging: &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_NONE},
	}})
	if err != nil {
		return err
	}
	_, err = api.RemoveUnit(ctx, &brokerv1.RemoveUnitRequest{Handle: resp.GetUnit().GetHandle()})
	return err
}
