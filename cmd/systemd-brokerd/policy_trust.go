// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/program"
)

// checkTrust refuses a policy that others than root can change, or exchange: whoever
// can is root.
func checkTrust(host *program.Host, dir string) error {
	if err := checkWay(host, dir); err != nil {
		return err
	}
	if err := checkOwners(host, dir, ".hcl"); err != nil {
		return err
	}
	if err := checkOwners(host, profilesOf(dir), ".conf"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// checkWay refuses a directory if others than root could put another one, or one with
// profiles beside it, in its place.
func checkWay(host *program.Host, dir string) error {
	whole, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("cannot read the policy: %w", err)
	}
	at, err := host.Changeable(filepath.Dir(whole))
	switch {
	case err != nil:
		return fmt.Errorf("cannot read the policy: %w", err)
	case at != "":
		return untrusted(at)
	}
	return nil
}

func untrusted(path string) error {
	return fmt.Errorf("cannot trust the policy: %s can be changed by others than root; run: chown root:root %s && chmod go-w %s", path, path, path)
}

// checkOwners refuses a directory whose files with this suffix others can change.
func checkOwners(host *program.Host, dir, suffix string) error {
	if err := checkOwner(host, dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(host.Base, dir))
	if err != nil {
		return fmt.Errorf("cannot read the policy: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		if err := checkOwner(host, filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// checkOwner refuses what somebody other than root can change, and whatever is
// neither a file nor a directory: a symlink, a FIFO, a device.
func checkOwner(host *program.Host, path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(host.Base, path), &st); err != nil {
		return fmt.Errorf("cannot read the policy: %s: %w", path, err)
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return fmt.Errorf("cannot trust the policy: %s is neither a file nor a directory", path)
	}
	if st.Uid != host.Owner || st.Mode&0o022 != 0 {
		return untrusted(path)
	}
	return nil
}
