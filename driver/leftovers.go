// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"io/fs"
	"path/filepath"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// leftovers are the directories of a task, if there is something below them that the
// agent, a user without privileges, could not remove: directories that the task made
// as its own user. Most tasks make none, and cost no process then.
func leftovers(c *drivers.TaskConfig) *brokerv1.Directories {
	dir := c.TaskDir()
	for _, root := range []string{dir.LocalDir, dir.SecretsDir, dir.SharedAllocDir} {
		if !removable(root) {
			return &brokerv1.Directories{Alloc: dir.SharedAllocDir, Local: dir.LocalDir, Secrets: dir.SecretsDir}
		}
	}
	return nil
}

// removable reports whether the caller can remove all that is in root.
func removable(root string) bool {
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !entry.IsDir() {
			return nil
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_ISVTX != 0 && int(st.Uid) != unix.Geteuid() {
			return fs.ErrPermission // each file in it can be removed by its owner only
		}
		return unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK|unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	})
	return err == nil
}
