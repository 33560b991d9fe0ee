// SPDX-License-Identifier: MPL-2.0

// Package program tells whether a program of the host is what it is called: policy
// allows programs by their paths, which say nothing where others than root choose what
// is there. Whoever starts one asks first; what was looked at can be changed by root
// only until then.
package program

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/policy"
)

// Host is the host whose files are looked at; the zero value is this one.
type Host struct {
	// Base is where the host's files are, and Owner who is root; tests change both.
	Base  string
	Owner uint32
}

// maxLinks is the kernel's own limit of symlinks in a path.
const maxLinks = 40

// Changeable is the first thing on the way to a program, the program and the targets of
// symlinks included, that others than root can change or exchange; empty if there is
// none. What was looked at before can then be changed by root only, so that looking at
// one after the other is enough.
func (h *Host) Changeable(path string) (string, error) {
	for range maxLinks {
		at, rest := "/", strings.Split(strings.TrimPrefix(path, "/"), "/")
		target := ""
		for i := 0; target == ""; i++ {
			var st unix.Stat_t
			if err := unix.Lstat(filepath.Join(h.Base, at), &st); err != nil {
				return "", fmt.Errorf("%s: %w", at, err)
			}
			link := st.Mode&unix.S_IFMT == unix.S_IFLNK // has no mode of its own
			if st.Uid != h.Owner || st.Mode&0o022 != 0 && !link {
				return at, nil
			}
			if link {
				to, err := readlink(filepath.Join(h.Base, at))
				if err != nil {
					return "", fmt.Errorf("%s: %w", at, err)
				}
				if !strings.HasPrefix(to, "/") {
					to = filepath.Join(filepath.Dir(at), to)
				}
				target = filepath.Join(append([]string{to}, rest[i:]...)...)
				continue
			}
			if i == len(rest) {
				return "", nil
			}
			at = filepath.Join(at, rest[i])
		}
		path = target
	}
	return "", errors.New("there are too many symlinks")
}

func readlink(path string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlink(path, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// Refusal says why the request's command cannot be trusted to be what its path says,
// as one that others than root can change; empty if it can, or is none of the host's. A
// session may run any program there is, so that nothing is lost with those.
func (h *Host) Refusal(r *policy.Request) string {
	if r.Session || !ofTheHost(r) {
		return ""
	}
	at, err := h.Changeable(r.Command)
	switch {
	case err != nil:
		return fmt.Sprintf("command %q cannot be looked at: %v", r.Command, err)
	case at != "":
		return fmt.Sprintf("command %q is no program that the policy could know: others than root can change %s; "+
			"ask the operator to make it root's alone (chown root:root, chmod go-w), or bring the program along", r.Command, at)
	}
	return ""
}

// ofTheHost reports whether the request's command is a file of the host, and not of the
// task, a volume or an image.
func ofTheHost(r *policy.Request) bool {
	if r.Rootfs.Kind == policy.RootfsImage || r.Rootfs.Kind != policy.RootfsHost && !strings.HasPrefix(r.Command, "/usr/") {
		return false
	}
	own := []string{"/alloc", "/local", "/secrets", "/tmp", "/run"}
	for _, v := range r.Volumes {
		own = append(own, v.Destination)
	}
	return !slices.ContainsFunc(own, func(dir string) bool { return r.Command == dir || strings.HasPrefix(r.Command, dir+"/") })
}
