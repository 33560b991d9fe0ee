// SPDX-License-Identifier: MPL-2.0

// Package mounts puts directories of clients where PID 1 can bind them by a path
// that no client can change.
//
// PID 1 takes the source of a bind mount as a path and follows it as root; a client
// that owns a part of the path can exchange it between the broker's look at it and
// PID 1's. So the directory that the broker looked at is mounted below a directory
// of root's for the moment of a start, and PID 1 is given that path.
//
// Mounts that PID 1 sees must be made in its mount namespace, with CAP_SYS_ADMIN.
// The broker has neither: a [Server] in a process of its own does this and nothing
// else for it. A [Client] speaks to it over a socket that root alone can connect to.
package mounts

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"

	"golang.org/x/sys/unix"
)

// Mount is a directory or file to be shown to a unit.
type Mount struct {
	// Root and Path lead to it on the host: Path is relative to Root, which no client
	// can change. No part of Path may be a symlink.
	Root, Path string
	// SameMount refuses a Path that leads onto another mount than Root's.
	SameMount bool
	ReadOnly  bool
	// Map shows what belongs to the owner and group of the object as this user's,
	// and lets what this user makes belong to them on disk, where the file system
	// can do that. All else in it belongs to nobody in the view.
	Map *User
	// FD is an O_PATH descriptor of the object itself, which Path must lead to.
	FD int
}

// User is the user of a unit, who is not root.
type User struct {
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
}

// maxMounts bounds those of one unit.
const maxMounts = 32

// unitPattern is a unit's name that is one file name.
var unitPattern = regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9:_.\\@-]{0,230}\.service\z`)

// Where is where the n-th mount of a unit is found below dir.
func Where(dir, unit string, n int) string { return filepath.Join(dir, unit, strconv.Itoa(n)) }

// Open opens what a mount names: beneath Root, over no symlink, and over no magic
// link of /proc, see openat2(2). The caller closes the descriptor.
func Open(m Mount) (int, error) {
	root, err := unix.Open(m.Root, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot open %s: %w", m.Root, err)
	}
	defer unix.Close(root) //nolint:errcheck // nothing was written
	how := &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	if m.SameMount {
		how.Resolve |= unix.RESOLVE_NO_XDEV
	}
	for {
		fd, err := unix.Openat2(root, m.Path, how)
		// EAGAIN: something was renamed at the same time; see openat2(2).
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// same reports whether two descriptors are of one object.
func same(a, b int) (bool, error) {
	var x, y unix.Stat_t
	if err := errors.Join(unix.Fstat(a, &x), unix.Fstat(b, &y)); err != nil {
		return false, err
	}
	return x.Dev == y.Dev && x.Ino == y.Ino && x.Mode&unix.S_IFMT == y.Mode&unix.S_IFMT, nil
}
