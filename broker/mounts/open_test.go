// SPDX-License-Identifier: MPL-2.0

package mounts

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOpenFollowsNoSymlink: not even one that stays beneath the root, which would lead
// to the directory of another task of the same client.
func TestOpenFollowsNoSymlink(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "other/local"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"task": "other", "leaf": "other/local"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]error{"other/local": nil, "task/local": unix.ELOOP, "leaf": unix.ELOOP, "../x": unix.EXDEV} {
		fd, err := Open(Mount{Root: root, Path: path})
		if err == nil {
			_ = unix.Close(fd)
		}
		if err != want { //nolint:errorlint // openat2(2) returns it as it is
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}
