// SPDX-License-Identifier: MPL-2.0

package unit

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestEnding: what ends a scope is the user's own process, and has the floor.
func TestEnding(t *testing.T) {
	got := render(Ending(2001, "nomad-web-0123456789abcdef.service"))
	if *update {
		if err := os.WriteFile("testdata/ending.golden", []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/ending.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the unit changed; got:\n%s\nwant:\n%s", got, want)
	}
}

// TestOldSystemdRunIsNotToldWhatItDoesNotKnow: it would refuse to run.
func TestOldSystemdRunIsNotToldWhatItDoesNotKnow(t *testing.T) {
	d := decide(t, testPolicy(t), "testdata/user-manager.json")
	for version, told := range map[int]bool{252: false, 253: false, 254: true, 257: true} {
		h := host
		h.Systemd = version
		argv := scoped(d, h, "nomad-web.service", []string{"/local/x", "--expand"})
		if slices.Contains(argv, "--expand-environment=no") != told {
			t.Errorf("systemd-run of version %d is given %s", version, strings.Join(argv, " "))
		}
		if end := argv[len(argv)-3:]; !slices.Equal(end, []string{"--", "/local/x", "--expand"}) {
			t.Errorf("the program and its arguments are %q", end)
		}
	}
}
