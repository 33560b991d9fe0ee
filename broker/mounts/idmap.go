// SPDX-License-Identifier: MPL-2.0

package mounts

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// mapping is how ids of the disk are shown: those of an owner and group as a user's.
type mapping struct {
	uid, gid uint32
	to       User
}

// mappings are the user namespaces of one request, each made once.
type mappings struct {
	from *namespaces
	made map[mapping]*loan
	log  *slog.Logger
	// unmapped: something could not be mapped.
	unmapped bool
}

func (m *mappings) close() {
	for _, ns := range m.made {
		if ns != nil {
			ns.giveBack()
		}
	}
}

// namespace is that of one mapping; nil if the host has no user namespaces, or no
// further one. Then nothing is mapped, as on a file system that cannot.
func (m *mappings) namespace(of mapping) (*loan, error) {
	if ns, ok := m.made[of]; ok {
		return ns, nil
	}
	ns, err := m.borrow(of)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EUSERS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		m.log.Info("directories are not mapped: there are no user namespaces (sysctl user.max_user_namespaces)", slog.Any("error", err))
		ns, err = nil, nil
	}
	if err == nil {
		if m.made == nil {
			m.made = make(map[mapping]*loan)
		}
		m.made[of] = ns
	}
	return ns, err
}

func (m *mappings) borrow(of mapping) (*loan, error) {
	ns, err := m.from.borrow()
	if err != nil {
		return nil, err
	}
	if err := ns.show(of); err != nil {
		ns.giveBack()
		return nil, err
	}
	return &ns, nil
}

// apply shows what belongs to the owner and group of fd as u's in tree. What is
// root's stays root's, and where the file system has no id mapping all stays as it
// is.
func (m *mappings) apply(tree, fd int, u User) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Uid == 0 || st.Gid == 0 {
		m.unmapped = true
		return nil
	}
	ns, err := m.namespace(mapping{st.Uid, st.Gid, u})
	if err != nil || ns == nil {
		m.unmapped = true
		return err
	}
	err = setMapping(tree, ns.File)
	if cannotMap(err) {
		m.log.Info("directories are not mapped: their file system has no id mapping, or their mount has one already; what the task leaves is opened by its own user",
			slog.String("file_system", fileSystem(fd)), slog.Any("error", err))
		m.unmapped = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot set the mapping: %w", err)
	}
	return nil
}

func setMapping(tree int, ns *os.File) error {
	return unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())})
}

// cannotMap is whether the kernel has no mapping for a mount, and all else is well.
// EINVAL: the file system cannot. EPERM: the mount is mapped already.
func cannotMap(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP)
}
