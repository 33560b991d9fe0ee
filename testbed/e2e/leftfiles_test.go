// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestFilesOfUnitsThatAreGone: what docs/operations.md says against files that PID 1
// keeps removes those of units that are gone, and of no other.
func TestFilesOfUnitsThatAreGone(t *testing.T) {
	blocks := codeBlocks(t, "operations.md")
	i := slices.IndexFunc(blocks, func(b codeBlock) bool { return strings.Contains(b.text, "/run/systemd/units/") })
	if i < 0 {
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
	run(t, "sh", "-c", blocks[i].text)
	if _, err := os.Stat(file(gone)); err == nil {
		t.Errorf("%s is left", file(gone))
	}
	if _, err := os.Stat(file(here)); err != nil {
		t.Error(err)
	}
}
