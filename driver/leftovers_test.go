// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLeftovers(t *testing.T) {
	c := newTaskConfig(t, TaskConfig{Command: "/bin/a"})
	for _, dir := range []string{c.TaskDir().LocalDir, c.TaskDir().SecretsDir, c.TaskDir().SharedAllocDir} {
		if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if dirs := leftovers(c); dirs != nil {
		t.Errorf("nothing is left that the caller could not remove, and %v are to be opened", dirs)
	}
	if os.Getuid() == 0 {
		// Root removes everything; what is not there it cannot look at.
		if err := os.RemoveAll(c.TaskDir().SecretsDir); err != nil {
			t.Fatal(err)
		}
	} else if err := os.Chmod(filepath.Join(c.TaskDir().SecretsDir, "a/b"), 0o500); err != nil {
		t.Fatal(err)
	}
	if dirs := leftovers(c); dirs.GetSecrets() != c.TaskDir().SecretsDir || dirs.GetLocal() == "" || dirs.GetAlloc() == "" {
		t.Errorf("to be opened are %v", dirs)
	}
}
