// SPDX-License-Identifier: MPL-2.0

package mounts

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

var errReadOnly = errors.New("the file system is read-only")

// writable is an error if w is to be written to and nobody can write there. It is asked
// here: in the broker's own mount namespace nearly all is read-only.
func writable(fd int, w want) error {
	if w.ReadOnly {
		return nil
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return fmt.Errorf("cannot look at the file system of %s: %w", w.Path, err)
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return errReadOnly
	}
	return nil
}

// magics are names of file systems, for people.
var magics = map[int64]string{
	unix.BTRFS_SUPER_MAGIC: "btrfs", unix.EXT4_SUPER_MAGIC: "ext4", unix.NFS_SUPER_MAGIC: "nfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay",
	unix.TMPFS_MAGIC: "tmpfs", unix.XFS_SUPER_MAGIC: "xfs",
}

// fileSystem is the name, or the number, of that of a descriptor.
func fileSystem(fd int) string {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return err.Error()
	}
	if name := magics[st.Type]; name != "" {
		return name
	}
	return fmt.Sprintf("%#x", st.Type)
}

// Mappable reports whether directories below dir, which is a directory of the host, can
// have their ids mapped, and its file system. It needs root, and changes nothing.
func Mappable(dir string) (ok bool, fs string, err error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, "", fmt.Errorf("cannot open %s: %w", dir, err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	tree, err := unix.OpenTree(fd, "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return false, "", fmt.Errorf("cannot clone the mount of %s: %w", dir, err)
	}
	defer unix.Close(tree) //nolint:errcheck // it was mounted nowhere
	try := mappings{from: new(namespaces)}
	ns, err := try.borrow(mapping{1, 1, User{1, 1}})
	if err != nil {
		return false, fileSystem(fd), err
	}
	defer ns.giveBack()
	err = setMapping(tree, ns.File)
	if cannotMap(err) {
		return false, fileSystem(fd), nil
	}
	return err == nil, fileSystem(fd), err
}
