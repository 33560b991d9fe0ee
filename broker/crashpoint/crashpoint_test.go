// SPDX-License-Identifier: MPL-2.0

package crashpoint

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestShippedBrokerHasNone: the program holds nothing of this package unless it is
// built with the tag, and then it does, so that this test can tell.
func TestShippedBrokerHasNone(t *testing.T) {
	for tags, want := range map[string]bool{"": false, "crashpoint": true} {
		program := filepath.Join(t.TempDir(), "systemd-brokerd")
		build := exec.CommandContext(t.Context(), "go", "build", "-tags", tags, "-trimpath", "-buildvcs=false", "-o", program, "nomad-systemd-driver/cmd/systemd-brokerd")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		text, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		symbols, err := exec.CommandContext(t.Context(), "go", "tool", "nm", program).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(text, []byte("/run/systemd-brokerd/crashpoint")); got != want {
			t.Errorf("with the tags %q the path is in the program: %t", tags, got)
		}
		if got := bytes.Contains(symbols, []byte("broker/crashpoint.")); got != want {
			t.Errorf("with the tags %q a function is in the program: %t", tags, got)
		}
	}
}
