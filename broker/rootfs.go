// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/unit"
)

// notOfHost are what units have of their own instead of the host's.
var notOfHost = []string{"alloc", "dev", "local", "lost+found", "proc", "run", "secrets", "sys", "tmp"}

// topOfHost lists the host's directories and symlinks at the top, as paths.
func topOfHost() (dirs, links []string, err error) {
	entries, err := os.ReadDir("/")
	if err != nil {
		return nil, nil, fmt.Errorf("cannot look at the host's root directory: %w", err)
	}
	for _, e := range entries {
		switch {
		case slices.Contains(notOfHost, e.Name()):
		case e.Type()&os.ModeSymlink != 0:
			links = append(links, "/"+e.Name())
		case e.IsDir():
			dirs = append(dirs, "/"+e.Name())
		}
	}
	return dirs, links, nil
}

// makeHostRoot builds the root directory of a unit that sees the host, with mount
// points for its volumes.
func (s *Server) makeHostRoot(root string, r *policy.Request) error {
	if err := makeSkeleton(root); err != nil {
		return err
	}
	if err := s.makeHostPlaces(root); err != nil {
		return err
	}
	for _, v := range r.Volumes {
		if !s.ofHost(v.Destination) {
			continue // PID 1 makes it in the root
		}
		if _, err := os.Stat(v.Destination); err != nil {
			return &startError{fmt.Sprintf(`nothing can be shown at %s: with rootfs = "host" it must exist on the host, or be in a directory that the host does not have`, v.Destination)}
		}
	}
	return nil
}

// ofHost reports whether path is in a directory that comes from the host as it is.
func (s *Server) ofHost(path string) bool {
	return slices.ContainsFunc(s.dirs.hostDirs, func(dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") })
}

func (s *Server) makeHostPlaces(root string) error {
	for _, dir := range s.dirs.hostDirs {
		if err := makeDir(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	for _, link := range s.dirs.hostLinks {
		to, err := os.Readlink(link)
		if err != nil {
			return fmt.Errorf("cannot read a symlink of the host: %w", err)
		}
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("cannot make the root directory of a unit: %w", err)
		}
	}
	return nil
}

// hiddenOf are the host's paths that not even a unit with the host's view sees:
// the client's data, the directory of which holds its alloc_root, and the policy.
func (s *Server) hiddenOf(c policy.Client) []string {
	data := c.AllocRoot
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Dir(data), &st); err == nil && st.Uid == c.UID {
		data = filepath.Dir(data)
	}
	return []string{data, "/etc/systemd-brokerd"}
}

// showRoot sets what h shows beside the directories of its unit. image is where the
// image is, if the request has one, and its verity data, if there are any beside it; of
// is what was opened of them.
func (s *Server) showRoot(d *policy.Decision, h *unit.Host, of openMounts, image []string) {
	switch r := d.Request().Rootfs; r.Kind {
	case policy.RootfsHost:
		h.ReadOnly, h.Hidden = s.dirs.hostDirs, s.hiddenOf(d.Client())
		h.Passwd, h.Group = "", ""
	case policy.RootfsImage:
		h.ReadOnly, h.Passwd, h.Group = nil, "", ""
		if of.tree() {
			h.Root = image[0]
			return
		}
		h.Root, h.Image, h.RootHash = "", image[0], r.RootHash
		if len(image) > 1 {
			h.RootVerity = image[1]
		}
	}
}
