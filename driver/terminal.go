// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"os"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"
)

// openTerminal opens a pseudo terminal, pts(4). The master does not block in the
// kernel, so that closing it ends a read that waits; the libraries for this make
// it block.
func openTerminal() (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("open /dev/ptmx", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		_ = unix.Close(fd)
		return nil, nil, os.NewSyscallError("ioctl TIOCSPTLCK", err)
	}
	// By the master and not by name: which /dev/pts is mounted does not matter.
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		_ = unix.Close(fd)
		return nil, nil, os.NewSyscallError("ioctl TIOCGPTPEER", errno)
	}
	return os.NewFile(uintptr(fd), "/dev/ptmx"), os.NewFile(peer, "/dev/pts"), nil
}

// setSize tells the programs on a terminal its size. A terminal that is closed
// by now needs none.
func setSize(master *os.File, size drivers.TerminalSize) {
	raw, err := master.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(size.Height), Col: uint16(size.Width)}) //nolint:gosec // a terminal's
	})
}
