// SPDX-License-Identifier: MPL-2.0

// Package opening makes directories that a unit left such that the unit's client,
// another user without privileges, can remove them.
//
// Root does not walk a tree that programs made. Where ids are mapped all of it is the
// client's, who has to take back no more than modes such as 0500 (Own). Elsewhere a
// program makes directories as its own user, in which the client can remove nothing: the
// user who owns them opens them, in the unit's own view, when all programs of the unit
// are gone (Open). Both change only directories that could not be removed otherwise, and
// no files: whoever may write to a directory removes what is in it.
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

// Open lets everybody list, enter and change each directory of the caller's below roots
// that is not empty, and takes away the access control list of such a one. It goes on
// after errors.
func Open(roots ...string) error {
	uid := uint32(os.Geteuid()) //nolint:gosec // a uid fits
	var all []error
	for _, root := range roots {
		all = append(all, walk(root, func(dir directory) error { return open(dir, uid) })...)
	}
	if len(all) > maxReported {
		all = append(all[:maxReported], errors.New("and more errors"))
	}
	return errors.Join(all...)
}

// OthersError is about a directory of somebody else that keeps the caller from removing
// what is in it.
type OthersError struct {
	Path string
	UID  uint32
}

// Error implements error.
func (e *OthersError) Error() string {
	return fmt.Sprintf("cannot remove what is in %s, which belongs to uid %d", e.Path, e.UID)
}

// Own gives the caller all rights to its own directories below root. The error says why
// it cannot remove all that is in it.
func Own(root string) error {
	uid := uint32(os.Geteuid()) //nolint:gosec // a uid fits
	return first(walk(root, func(dir directory) error { return own(dir, uid) }))
}

// Removable looks for what Own does, and changes nothing: the caller can have all rights
// to its own directories.
func Removable(root string) error {
	uid := uint32(os.Geteuid()) //nolint:gosec // a uid fits
	return first(walk(root, func(dir directory) error { return removable(dir, uid) }))
}

func removable(dir directory, uid uint32) error {
	if dir.Uid == uid && dir.Mode&owner != owner {
		return errPass
	}
	return own(dir, uid)
}

// first is the first of errs that is about something that is still there.
func first(errs []error) error {
	for _, err := range errs {
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

const owner = 0o700

func open(dir directory, uid uint32) error {
	const everybody, others = 0o777, 0o007
	_, err := unix.Getxattr(dir.path(), accessList, nil)
	listed := err == nil
	if dir.Uid != uid || dir.Mode&(others|unix.S_ISVTX) == others && !listed || dir.empty() {
		return nil
	}
	if listed {
		if err := unix.Removexattr(dir.path(), accessList); err != nil {
			return &fs.PathError{Op: "removexattr", Path: dir.name, Err: err}
		}
	}
	return dir.chmod(everybody)
}

const accessList = "system.posix_acl_access"

func own(dir directory, uid uint32) error {
	if dir.Uid == uid {
		if dir.Mode&owner == owner {
			return nil
		}
		return dir.chmod(dir.Mode&0o1777 | owner) // not setgid, which a sandbox may refuse
	}
	// Each file in a sticky directory can be removed by its owner only.
	if dir.Mode&unix.S_ISVTX == 0 && unix.Faccessat(unix.AT_FDCWD, dir.path(), unix.R_OK|unix.W_OK|unix.X_OK, unix.AT_EACCESS) == nil || dir.empty() {
		return nil
	}
	return &OthersError{Path: dir.name, UID: dir.Uid}
}
