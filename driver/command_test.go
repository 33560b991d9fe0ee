// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestResolveCommand(t *testing.T) {
	local := t.TempDir()
	if err := errors.Join(
		os.MkdirAll(filepath.Join(local, "bin"), 0o755),
		os.WriteFile(filepath.Join(local, "bin/server"), nil, 0o755),
		os.WriteFile(filepath.Join(local, "data"), nil, 0o644),
		os.Symlink("bin/server", filepath.Join(local, "current")),
		os.Symlink("/usr/bin/env", filepath.Join(local, "outside")),
	); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, command string
		want          string // the path in the view, or
		problem       string // in the error
	}{
		{"relative", "bin/server", "/local/bin/server", ""},
		{"relative, with local/ before it", "local/bin/server", "/local/bin/server", ""},
		{"relative, and not clean", "./bin//server", "/local/bin/server", ""},
		{"absolute below /local", "/local/bin/server", "/local/bin/server", ""},
		{"absolute elsewhere", "/usr/bin/python3", "/usr/bin/python3", ""},
		{"a symlink within local/", "current", "/local/bin/server", ""},
		{"nothing", "", "", "command is missing"},
		{"out of local/", "../secrets/x", "", "out of the task's local/"},
		{"out of local/ by a detour", "bin/../../x", "", "out of the task's local/"},
		{"absolute and not clean", "/usr/../bin/x", "", "/bin/x"},
		{"no such file", "bin/none", "", `"bin/none": there is no such file`},
		{"a directory", "bin", "", "not a file"},
		{"not executable", "data", "", "not executable (mode 0644)"},
		{"a symlink out of local/", "outside", "", `"outside"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := resolveCommand(tt.command)
			if err == nil {
				err = checkLocal(got, local)
			}
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) {
					t.Errorf("got %q, %v; want an error with %q", got, err, tt.problem)
				}
				return
			}
			if tt.name == "a symlink within local/" {
				tt.want = "/local/current"
			}
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}
