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

// TestProgramsOfTheHostAreFoundByName: in fixed directories, by a plain name, and only if
// the task has none of it.
func TestProgramsOfTheHostAreFoundByName(t *testing.T) {
	root := t.TempDir()
	for path, mode := range map[string]os.FileMode{
		"usr/local/bin/both": 0o755, "usr/bin/both": 0o755, "usr/bin/one": 0o755, "usr/sbin/admin": 0o755, "usr/bin/data": 0o644, "opt/app": 0o755,
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755), os.WriteFile(filepath.Join(root, path), nil, mode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "usr/bin/dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"both": "/usr/local/bin/both", "one": "/usr/bin/one", "admin": "/usr/sbin/admin",
		"data": "", "dir": "", "none": "", "app": "", "bin/one": "", "../bin/one": "", "..": "",
	} {
		got, err := lookUp(root, name, &absentError{name})
		if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q is %q, %v; want %q", name, got, err, want)
		}
	}
	c := newTaskConfig(t, TaskConfig{Command: "sh"})
	if err := os.MkdirAll(c.TaskDir().LocalDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if spec, err := unitSpec(c); err != nil || spec.GetCommand() != "/usr/bin/sh" {
		t.Errorf("sh is %q, %v", spec.GetCommand(), err)
	}
	if err := os.WriteFile(filepath.Join(c.TaskDir().LocalDir, "sh"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if spec, err := unitSpec(c); err != nil || spec.GetCommand() != "/local/sh" {
		t.Errorf("sh is %q, %v, and the task has its own", spec.GetCommand(), err)
	}
}
