// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// checkDescriptors accepts what a unit may write its output to, or a session
// read and write. The broker opens no path for either, so there is none to be
// swapped.
func checkDescriptors(fds descriptors, uid uint32) error {
	if len(fds) == logFDs {
		return errors.Join(checkLogFD(fds[0], uid), checkLogFD(fds[1], uid))
	}
	return errors.Join(
		checkSessionFD(fds[0], uid, unix.O_RDONLY),
		checkSessionFD(fds[1], uid, unix.O_WRONLY),
		checkSessionFD(fds[2], uid, unix.O_WRONLY))
}

// checkLogFD accepts a FIFO of the client's own, or /dev/null.
func checkLogFD(fd int, uid uint32) error {
	st, err := statFD(fd, unix.O_WRONLY)
	if err != nil {
		return err
	}
	return checkFIFO(st, uid)
}

// checkSessionFD accepts the same, and a pseudo terminal of the client's own.
func checkSessionFD(fd int, uid uint32, access int) error {
	st, err := statFD(fd, access)
	if err != nil {
		return err
	}
	if !isPTS(st) {
		return checkFIFO(st, uid)
	}
	if st.Uid != uid {
		return fmt.Errorf("a terminal belongs to uid %d, not to the client", st.Uid)
	}
	return nil
}

// isPTS tells a pseudo terminal by its major device number: 136 to 143
// (Documentation/admin-guide/devices.txt in the kernel's source).
func isPTS(st *unix.Stat_t) bool {
	major := unix.Major(st.Rdev)
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && major >= 136 && major <= 143
}

// statFD looks at a descriptor, which must be open for access: O_RDONLY or
// O_WRONLY, or both.
func statFD(fd, access int) (*unix.Stat_t, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("cannot look at a descriptor: %w", err)
	}
	mode, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot look at a descriptor: %w", err)
	}
	if got := mode & unix.O_ACCMODE; mode&unix.O_PATH != 0 || got != access && got != unix.O_RDWR {
		return nil, fmt.Errorf("a descriptor is not open for %s", map[int]string{unix.O_RDONLY: "reading", unix.O_WRONLY: "writing"}[access])
	}
	return &st, nil
}

func checkFIFO(st *unix.Stat_t, uid uint32) error {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		if st.Uid != uid {
			return fmt.Errorf("a FIFO belongs to uid %d, not to the client", st.Uid)
		}
		return nil
	case unix.S_IFCHR:
		if st.Rdev == unix.Mkdev(1, 3) {
			return nil
		}
	}
	return errors.New("a descriptor is neither a FIFO, nor a terminal of a session, nor /dev/null")
}
