// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// rebooted is what TestReboot remembers across the reboot: the jobs, in the
// order of submission.
type rebooted struct {
	Boot string // its id
	Jobs []rebootedJob
}

type rebootedJob struct{ ID, Alloc, Unit string }

const rebootedFile = "/var/tmp/e2e-rebooted"

// TestReboot: what ran before a reboot is lost, and Nomad is told so; a task that
// may restart runs again, one that may not has failed. It runs in two halves,
// with E2E_REBOOT=before and =after.
func TestReboot(t *testing.T) {
	switch os.Getenv("E2E_REBOOT") {
	case "before":
		beforeReboot(t)
	case "after":
		afterReboot(t)
	default:
		t.Skip("make e2e runs it, which reboots the VM")
	}
}

func bootID(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func beforeReboot(t *testing.T) {
	state := rebooted{Boot: bootID(t)}
	for _, restarts := range []int{0, 1} {
		j := &job{t: t, id: jobName(t) + "-" + string(rune('0'+restarts))}
		tk := task{Type: "service", Config: command("tick"), Restarts: restarts}
		call(t, "POST", "/jobs", map[string]any{"Job": tk.job(j.id)}, nil)
		j.await("running")
		state.Jobs = append(state.Jobs, rebootedJob{j.id, j.alloc, j.unit()})
	}
	text, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(rebootedFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func afterReboot(t *testing.T) {
	text, err := os.ReadFile(rebootedFile)
	if err != nil {
		t.Fatal(err)
	}
	var state rebooted
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatal(err)
	}
	if state.Boot == bootID(t) {
		t.Fatal("the VM was not rebooted")
	}
	driverHealth(t, healthy)
	for i, status := range []string{"failed", "running"} {
		old := state.Jobs[i]
		j := &job{t: t, id: old.ID, alloc: old.Alloc}
		t.Cleanup(func() {
			if t.Failed() {
				j.explain()
			}
			j.purge()
			j.nothingIsLeft()
		})
		// Nomad has the status of before the reboot until its client tells a new one.
		told := watch(t, "/allocation/"+j.alloc, func(a allocation) bool {
			return strings.Contains(j.messages(a), old.Unit+" is gone and its exit status with it") || a.ended()
		})
		if text := j.messages(told); !strings.Contains(text, old.Unit+" is gone and its exit status with it") {
			t.Errorf("no event tells what became of %s:\n%s", old.Unit, text)
		}
		if status != "running" {
			j.await(status)
			continue
		}
		// It is "running" still when its end is told, and again with its second start.
		watch(t, "/allocation/"+j.alloc, func(a allocation) bool {
			return a.ClientStatus == status && strings.Count(j.messages(a), "Started: ") == 2
		})
		j.awaitLog("tick")
		if now := j.unit(); now == old.Unit {
			t.Errorf("the new run is in the unit of the old one, %s", now)
		}
	}
}
