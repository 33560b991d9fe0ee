// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/policy"
)

// beneath refuses every way out of a directory: "..", symlinks, the magic links
// of /proc, and other mounts. See openat2(2).
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// openat2Works reports why openat2(2) cannot be used. There is no fallback:
// without it a client could lead root along symlinks. RestrictSUIDSGID= on the
// broker's own unit, for one, makes it fail.
func openat2Works() error {
	fd, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC})
	if err != nil {
		return fmt.Errorf("the broker needs openat2(2), and it fails here (is RestrictSUIDSGID= set for systemd-brokerd.service?): %w", err)
	}
	return unix.Close(fd)
}

// checkDirectories looks at the three directories of a decision's request,
// walking down from the client's alloc_root without following a symlink, and
// refuses any that is not a directory of the client's own.
func checkDirectories(d *policy.Decision) error {
	c, dirs := d.Client(), d.Request().Directories
	root, err := unix.Open(c.AllocRoot, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open alloc_root %s of policy client %q: %w", c.AllocRoot, c.Name, err)
	}
	defer unix.Close(root) //nolint:errcheck // nothing was written
	for _, path := range []string{dirs.Alloc, dirs.Local, dirs.Secrets} {
		if err := checkDirectory(root, c, path); err != nil {
			return err
		}
	}
	return nil
}

func checkDirectory(root int, c policy.Client, path string) error {
	rel, err := filepath.Rel(c.AllocRoot, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return invalid("directories", "%s is not below alloc_root %s", quote(path), c.AllocRoot)
	}
	fd, err := unix.Openat2(root, rel, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: beneath,
	})
	switch {
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.EXDEV), errors.Is(err, unix.ENOTDIR):
		return invalid("directories", "%s leads over a symlink or a mount, or is not a directory", quote(path))
	case err != nil:
		return invalid("directories", "%s cannot be opened: %v", quote(path), err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("cannot look at %s: %w", path, err)
	}
	if st.Uid != c.UID {
		return invalid("directories", "%s does not belong to the client", quote(path))
	}
	return nil
}
