// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDropInIsNoticed: PID 1 lets a drop-in of an administrator prevail over what the
// broker asked for. A task does not run in less of a sandbox than its policy decided
// on, or under another limit: it does not run at all, and its event says why. The
// drop-in is for the tasks of all tests, so that none runs beside this one. The task is
// alice's: of one with a dynamic user PID 1 itself keeps NoNewPrivileges=.
func TestDropInIsNoticed(t *testing.T) {
	const dropIn = "/run/systemd/system/nomad-task-.service.d/e2e.conf"
	remove := func(t *testing.T) {
		if err := os.RemoveAll(filepath.Dir(dropIn)); err != nil {
			t.Fatal(err)
		}
		run(t, "systemctl", "daemon-reload")
	}
	t.Cleanup(func() { remove(t) })
	for _, tt := range []struct{ line, want string }{
		{"NoNewPrivileges=no", "NoNewPrivileges=false, and was to have true"},
		{"PrivateDevices=no", "PrivateDevices=false, and was to have true"},
		{"MemoryMax=infinity", "MemoryMax=18446744073709551615, and was to have 33554432"},
		{"SystemCallFilter=", "SystemCallFilter="},
		{"ExecStartPost=/bin/true", "ExecStartPost="},
	} {
		t.Run(tt.line, func(t *testing.T) {
			if err := os.MkdirAll(filepath.Dir(dropIn), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dropIn, []byte("[Service]\n"+tt.line+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			run(t, "systemctl", "daemon-reload")
			j := submit(t, task{Config: command("tick"), User: "alice"})
			if text := j.messages(j.await("failed")); !strings.Contains(text, tt.want) || strings.Contains(text, "Started:") {
				t.Errorf("want an event with %s and none of a start:\n%s", tt.want, text)
			}
			j.nothingIsLeft()
		})
	}
	remove(t)
	t.Run("without it", func(t *testing.T) { submit(t, task{Config: command(), User: "alice"}).await("complete") })
}
