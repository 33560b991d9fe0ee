// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/crashpoint"
	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/unit"
)

// unitCredentials is where PID 1 keeps the credentials of running units, readable
// by root and the unit's user.
const unitCredentials = "/run/credentials"

// credentials writes those of the unit of d for LoadCredential=. SetCredential= is
// no alternative: every user can read it over D-Bus.
func (f startFiles) credentials(d *policy.Decision) ([]unit.Credential, error) {
	var all []unit.Credential
	left := d.CredentialsMax()
	for _, c := range d.Request().Credentials {
		content := c.Content
		if c.Source != "" {
			var err error
			if content, err = readSource(d, c, left); err != nil {
				return nil, err
			}
		}
		size := uint64(len(c.Name) + len(content))
		if size > left {
			return nil, &startError{fmt.Sprintf("credential %q: the credentials together are over %d bytes, names and contents", c.Name, d.CredentialsMax())}
		}
		left -= size
		path, err := f.write("credential."+c.Name, content, 0o600)
		if err != nil {
			return nil, err
		}
		all = append(all, unit.Credential{Name: c.Name, Path: path})
	}
	return all, nil
}

// sessionCredentials are those of the running unit: what it was started with, not
// what its files say by now.
func sessionCredentials(d *policy.Decision, parent *record) []unit.Credential {
	var all []unit.Credential
	for _, c := range d.Request().Credentials {
		all = append(all, unit.Credential{Name: c.Name, Path: filepath.Join(unitCredentials, parent.unit, c.Name)})
	}
	return all
}

// sourceOf is the host's directory and the path in it that a path of the view
// stands for.
func sourceOf(dirs policy.Directories, source string) (dir, file string, ok bool) {
	for prefix, dir := range map[string]string{"/secrets/": dirs.Secrets, "/local/": dirs.Local, "/alloc/": dirs.Alloc} {
		if file, ok := strings.CutPrefix(source, prefix); ok {
			return dir, file, true
		}
	}
	return "", "", false
}

// readSource reads at most about limit bytes of a credential's source. It walks
// down from the client's alloc_root as [checkDirectories] does, and takes only a
// regular file of the client's own: what root reads here the client could read.
func readSource(d *policy.Decision, c policy.Credential, limit uint64) ([]byte, error) {
	client := d.Client()
	failed := func(format string, args ...any) error {
		return &startError{fmt.Sprintf("credential %q: source %s ", c.Name, c.Source) + fmt.Sprintf(format, args...)}
	}
	dir, file, ok := sourceOf(d.Request().Directories, c.Source)
	if !ok {
		return nil, failed("is not in /secrets, /local or /alloc")
	}
	path, err := filepath.Rel(client.AllocRoot, filepath.Join(dir, file))
	if err != nil {
		return nil, failed("is not below alloc_root %s", client.AllocRoot)
	}
	root, err := unix.Open(client.AllocRoot, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open alloc_root %s of policy client %q: %w", client.AllocRoot, client.Name, err)
	}
	defer unix.Close(root) //nolint:errcheck // nothing was written
	// O_NONBLOCK: to open a FIFO must not wait for its writer.
	fd, err := unix.Openat2(root, path, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	})
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, failed("does not exist when the task starts; name what a template or an artifact puts there")
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.EXDEV), errors.Is(err, unix.ENOTDIR):
		return nil, failed("leads over a symlink or a mount; name the file itself")
	case err != nil:
		return nil, failed("cannot be opened: %v", err)
	}
	crashpoint.Here("start/credential")
	f := os.NewFile(uintptr(fd), "credential")
	defer f.Close() //nolint:errcheck // nothing was written
	var st unix.Stat_t
	switch err := unix.Fstat(fd, &st); {
	case err != nil:
		return nil, failed("cannot be looked at: %v", err)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, failed("is not a regular file")
	case st.Uid != client.UID:
		return nil, failed("belongs to uid %d, not to the client: only what the agent wrote can be a credential", st.Uid)
	}
	content, err := io.ReadAll(io.LimitReader(f, int64(limit)+1)) //nolint:gosec // G115: at most 1 MiB
	if err != nil {
		return nil, failed("cannot be read: %v", err)
	}
	return content, nil
}
