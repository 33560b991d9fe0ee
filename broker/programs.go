// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/policy"
)

// hostPrograms tells whether a program of the host is what it is called: policy allows
// programs by their paths, which say nothing where others than root choose what is there.
type hostPrograms struct {
	// base is where the host's files are, and owner who is root; tests change both.
	base  string
	owner uint32
}

// maxLinks is the kernel's own limit of symlinks in a path.
const maxLinks = 40

// changeable is the first thing on the way to a program, the program and the targets of
// symlinks included, that others than root can change or exchange; empty if there is
// none. What was looked at before can then be changed by root only, so that looking at
// one after the other is enough.
func (h *hostPrograms) changeable(path string) (string, error) {
	for range maxLinks {
		at, rest := "/", strings.Split(strings.TrimPrefix(path, "/"), "/")
		target := ""
		for i := 0; target == ""; i++ {
			var st unix.Stat_t
			if err := unix.Lstat(filepath.Join(h.base, at), &st); err != nil {
				return "", fmt.Errorf("%s: %w", at, err)
			}
			link := st.Mode&unix.S_IFMT == unix.S_IFLNK // has no mode of its own
			if st.Uid != h.owner || st.Mode&0o022 != 0 && !link {
				return at, nil
			}
			if link {
				to, err := unixReadlink(filepath.Join(h.base, at))
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

func unixReadlink(path string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlink(path, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// check refuses a program of the host that others than root can change. A session may
// run any program there is, so that nothing is lost with those.
func (h *hostPrograms) check(r *policy.Request) error {
	if r.Session || !ofTheHost(r) {
		return nil
	}
	at, err := h.changeable(r.Command)
	switch {
	case err != nil:
		return &startError{fmt.Sprintf("command %q cannot be looked at: %v", r.Command, err)}
	case at != "":
		return &startError{fmt.Sprintf("command %q is no program that the policy could know: others than root can change %s; "+
			"ask the operator to make it root's alone (chown root:root, chmod go-w), or bring the program along", r.Command, at)}
	}
	return nil
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
