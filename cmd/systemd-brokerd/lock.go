// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockDirectory keeps a second daemon out of dir, as long as the descriptor is open: it
// would take what the first is doing for what an earlier one left.
func lockDirectory(dir string) (fd int, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // what is secret in it has a mode of its own
		return -1, fmt.Errorf("cannot make the daemon's directory: %w", err)
	}
	fd, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot open %s: %w", dir, err)
	}
	err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return fd, nil
	}
	_ = unix.Close(fd)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return -1, fmt.Errorf("another systemd-brokerd uses %s; stop it (systemctl stop systemd-brokerd.service), or pass another --runtime-dir", dir)
	}
	return -1, fmt.Errorf("cannot lock %s: %w", dir, err)
}
