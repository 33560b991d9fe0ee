// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"os"
	"strings"
	"testing"

	"nomad-systemd-driver/docs"
)

// TestFilesOfUnitsThatAreGone: what docs/operations.md says against files that PID 1
// keeps removes those of units that are gone, and of no other.
func TestFilesOfUnitsThatAreGone(t *testing.T) {
	page, err := docs.Files.ReadFile("operations.md")
	must(t, err)
	_, commands, _ := strings.Cut(string(page), "```sh\nfor f in /run/systemd/units/")
	commands, _, ok := strings.Cut("for f in /run/systemd/units/"+commands, "```")
	if !ok {
		t.Fatal("the page has no such commands")
	}
	file := func(unit string) string { return "/run/systemd/units/log-extra-fields:" + unit }
	runs := submitAs(t, jobName(t)+"-runs", task{Type: "service", Config: command("tick")})
	ends := submitAs(t, jobName(t)+"-ends", task{Type: "service", Config: command("tick")})
	runs.await("running")
	ends.await("running")
	here, gone := runs.unit(), ends.unit()
	ends.stop()
	ends.purge()
	ends.nothingIsLeft()
	if _, err := os.Stat(file(gone)); err != nil {
		t.Errorf("this systemd does not keep the file of a unit that is gone, so the page need not speak of it: %v", err)
	}
	run(t, "sh", "-c", commands)
	if _, err := os.Stat(file(gone)); err == nil {
		t.Errorf("%s is left", file(gone))
	}
	if _, err := os.Stat(file(here)); err != nil {
		t.Error(err)
	}
}
