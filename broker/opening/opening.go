// SPDX-License-Identifier: MPL-2.0

// Package opening lets the owner of a unit's directories remove what the unit left in
// them.
//
// A program makes directories as its own user, in which the client, another user
// without privileges, can remove nothing. Root does not walk a tree that programs
// made: the user who owns the directories opens them, in the unit's own view, when
// all programs of the unit are gone.
package opening

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// maxReported bounds the errors of one call: the rest is likely the same.
const maxReported = 10

// Open lets everybody list, enter and change each directory of the caller's below
// roots, and takes away access control lists of its own. It changes no files:
// whoever may write to a directory removes what is in it. It goes on after errors,
// and is done by a caller that nobody races with.
func Open(roots ...string) error {
	uid := uint32(os.Geteuid()) //nolint:gosec // a uid fits
	var all []error
	for _, root := range roots {
		// By steps from directory to directory: a path can be longer than the kernel takes.
		if err := enter(root); err != nil {
			all = append(all, err)
			continue
		}
		all = append(all, walk(uid)...)
	}
	if len(all) > maxReported {
		all = append(all[:maxReported], fmt.Errorf("and %d errors more", len(all)-maxReported))
	}
	return errors.Join(all...)
}

// walk opens the working directory and all below it, and ends where it began. Its
// stack is its own, so that depth costs little.
func walk(uid uint32) (all []error) {
	note := func(err error) bool {
		if err != nil {
			all = append(all, err)
		}
		return err == nil
	}
	note(open(".", uid))
	stack := [][]string{directories(note)} // of each level, the directories that are left
	for {
		top := len(stack) - 1
		if len(stack[top]) == 0 {
			stack = stack[:top]
			if top == 0 || !note(enter("..")) {
				return all
			}
			continue
		}
		name := stack[top][0]
		stack[top] = stack[top][1:]
		if note(open(name, uid)) && note(enter(name)) {
			stack = append(stack, directories(note))
		}
	}
}

// enter changes the working directory. os.Chdir may look for the path of it, which is
// slow where it is long.
func enter(path string) error {
	if err := unix.Chdir(path); err != nil {
		return &fs.PathError{Op: "chdir", Path: path, Err: err}
	}
	return nil
}

// directories are the names of those in the working directory. Symlinks are none.
func directories(note func(error) bool) []string {
	dir, err := os.Open(".")
	if !note(err) {
		return nil
	}
	defer dir.Close() //nolint:errcheck // it was only read
	var names []string
	for {
		entries, err := dir.ReadDir(1024)
		for _, e := range entries {
			if e.IsDir() {
				names = append(names, e.Name())
			}
		}
		if err != nil {
			return names // io.EOF, or what can be read no further
		}
	}
}

// open opens one directory, if it is the user's.
func open(path string, uid uint32) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	if st.Uid != uid || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	for _, acl := range []string{"system.posix_acl_access", "system.posix_acl_default"} {
		if err := unix.Lremovexattr(path, acl); err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
			return &fs.PathError{Op: "lremovexattr", Path: path, Err: err}
		}
	}
	const everybody = 0o777
	if st.Mode&0o7777 == everybody {
		return nil
	}
	return os.Chmod(path, everybody)
}
