// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKeysThatOthersCouldWrite are no keys, and keep nobody waiting.
func TestKeysThatOthersCouldWrite(t *testing.T) {
	me := uint32(os.Getuid())
	good := servers.jwks()
	write := func(t *testing.T, path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		name  string
		owner uint32
		make  func(t *testing.T, dir, path string)
		err   string
	}{
		{"keys", me, func(t *testing.T, _, path string) { write(t, path, good, 0o644) }, ""},
		{"none", me, func(*testing.T, string, string) {}, "no such file"},
		{"of a user who is not in the policy", 12345, func(t *testing.T, _, path string) { write(t, path, good, 0o644) }, "can be changed by others"},
		{"that a group can write", me, func(t *testing.T, _, path string) { write(t, path, good, 0o664) }, "can be changed by others"},
		{"that everybody can write", me, func(t *testing.T, _, path string) { write(t, path, good, 0o646) }, "can be changed by others"},
		{"that everybody can exchange", me, func(t *testing.T, dir, path string) {
			write(t, path, good, 0o644)
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
		}, "/d can be changed by others"},
		{"behind a symlink", me, func(t *testing.T, dir, path string) {
			write(t, filepath.Join(dir, "x"), good, 0o644)
			if err := os.Symlink("x", path); err != nil {
				t.Fatal(err)
			}
		}, "too many levels of symbolic links"},
		{"a directory behind a symlink", me, func(t *testing.T, dir, path string) {
			write(t, path, good, 0o644)
			if err := os.Rename(dir, dir+"x"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(dir+"x", dir); err != nil {
				t.Fatal(err)
			}
		}, "not a directory"},
		{"in a FIFO", me, func(t *testing.T, _, path string) {
			if err := unix.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "not a regular file"},
		{"in a directory", me, func(t *testing.T, _, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "not a regular file"},
		{"too many", me, func(t *testing.T, _, path string) { write(t, path, strings.Repeat(" ", 1<<20), 0o600) }, "take more than"},
		{"no keys", me, func(t *testing.T, _, path string) { write(t, path, "\x00", 0o600) }, "not a set of keys"},
	} {
		t.Run(row.name, func(t *testing.T) {
			k := newKeyFiles()
			k.root, k.rootUID = t.TempDir(), me
			dir := filepath.Join(k.root, "d")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			row.make(t, dir, filepath.Join(dir, "k"))
			if row.owner != me {
				k.rootUID = row.owner + 1
			}
			keys, err := k.read("/d/k", row.owner)
			if row.err != "" {
				if keys != nil || err == nil || !strings.Contains(err.Error(), row.err) {
					t.Errorf("read = %v, %v, want the error %q", keys, err, row.err)
				}
				return
			}
			if err != nil || keys.Len() != 1 {
				t.Errorf("read = %v, %v, want a key", keys, err)
			}
		})
	}
}

// TestKeysAreReadAgainWhenTheyChange, and else not.
func TestKeysAreReadAgainWhenTheyChange(t *testing.T) {
	k, me := newKeyFiles(), uint32(os.Getuid())
	k.root, k.rootUID = t.TempDir(), me
	path := filepath.Join(k.root, "k")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	put(servers.jwks())
	first, err := k.read("/k", me)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := k.read("/k", me); err != nil || again != first {
		t.Errorf("the same file gives %p, %v, want %p", again, err, first)
	}
	put(strangers.jwks())
	if other, err := k.read("/k", me); err != nil || other == first {
		t.Errorf("another file gives %p, %v", other, err)
	}
	put("{}")
	if keys, err := k.read("/k", me); err == nil {
		t.Errorf("a file without keys gives %v", keys)
	}
}
