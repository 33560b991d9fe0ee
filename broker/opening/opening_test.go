// SPDX-License-Identifier: MPL-2.0

package opening

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOpen: what is left can be removed by whoever may write to the root.
func TestOpen(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	outside := t.TempDir()
	for _, err := range []error{
		os.MkdirAll("a/b/c", 0o700),
		os.WriteFile("a/b/file", nil, 0o400),
		os.Mkdir("sticky", 0o755|fs.ModeSticky),
		os.Mkdir("closed", 0o755),
		os.Mkdir("closed/in", 0o700),
		os.Chmod("closed", 0),
		os.Symlink(outside, "link"),
		os.Chmod(outside, 0o700),
		unix.Mkfifo("fifo", 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := Open(root); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]fs.FileMode{
		".": 0o777, "a": 0o777, "a/b": 0o777, "a/b/c": 0o777, "a/b/file": 0o400, "sticky": 0o777, "closed": 0o777, "closed/in": 0o777,
		"fifo": 0o600, outside: 0o700,
	} {
		if !filepath.IsAbs(path) {
			path = filepath.Join(root, path)
		}
		if st, err := os.Stat(path); err != nil || st.Mode()&(fs.ModePerm|fs.ModeSticky) != want {
			t.Errorf("%s is %v, %v, want %v", path, st.Mode(), err, want)
		}
	}
}

// TestOpenDeep: deeper than a path can be long, and than there are descriptors.
func TestOpenDeep(t *testing.T) {
	const depth = 2000
	root := t.TempDir()
	t.Chdir(root)
	name := strings.Repeat("x", 100)
	for range depth {
		if err := errors.Join(os.Mkdir(name, 0o700), unix.Chdir(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Open(root); err != nil {
		t.Error(err)
	}
	if err := unix.Chdir(root); err != nil {
		t.Fatal(err)
	}
	for range depth {
		if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o777 {
			t.Fatalf("%v, %v", st, err)
		}
		if err := unix.Chdir(name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenGoesOn(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	err := Open(filepath.Join(root, "nosuch"), root)
	if err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("got %v", err)
	}
	if st, err := os.Stat("a"); err != nil || st.Mode().Perm() != 0o777 {
		t.Errorf("after an error it did not go on: %v, %v", st.Mode(), err)
	}
}
