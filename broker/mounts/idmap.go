// SPDX-License-Identifier: MPL-2.0

package mounts

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// mapIDs shows what belongs to the owner and group of fd as u's in tree. What is
// root's stays root's, and where the file system has no id mapping all stays as it
// is.
func mapIDs(tree, fd int, u User) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Uid == 0 || st.Gid == 0 {
		return nil
	}
	ns, err := userNamespace(st.Uid, st.Gid, u)
	if err != nil {
		return err
	}
	defer ns.Close() //nolint:errcheck // only its existence counts
	err = unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd()),
	})
	switch {
	// EINVAL: the file system cannot. EPERM: the mount is mapped already.
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP):
		return nil
	case err != nil:
		return fmt.Errorf("cannot set the mapping: %w", err)
	}
	return nil
}
