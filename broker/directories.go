// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/crashpoint"
	"nomad-systemd-driver/broker/mounts"
	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/unit"
)

// Mounts puts what a unit is to see where PID 1 finds it; [mounts.Client] does.
type Mounts interface {
	// Stage returns a path for each, which hold until Unstage, and whether something that
	// was to be mapped is not.
	Stage(ctx context.Context, unit string, all []mounts.Mount) (paths []string, unmapped bool, err error)
	Unstage(ctx context.Context, unit string) error
	// Staged lists the units that have some.
	Staged() ([]string, error)
	// CheckDevices is an error if PID 1 would bind what no unit can have.
	CheckDevices(ctx context.Context, paths []string) error
}

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

// directoriesOf opens the three directories of a decision's request, and its
// volumes, in this order. It walks down from the client's alloc_root, or from /,
// without following a symlink, and refuses a directory that is not the client's own.
// What follows is done to exactly these objects. The caller closes them, also after
// an error.
func directoriesOf(d *policy.Decision) (all openMounts, err error) {
	c, r := d.Client(), d.Request()
	for _, path := range []string{r.Directories.Alloc, r.Directories.Local, r.Directories.Secrets} {
		rel, err := filepath.Rel(c.AllocRoot, path)
		if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
			return all, invalid("directories", "%s is not below alloc_root %s", quote(path), c.AllocRoot)
		}
		m := mounts.Mount{Root: c.AllocRoot, Path: rel, SameMount: true}
		st, err := all.open("directories", path, m)
		if err != nil {
			return all, err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return all, invalid("directories", "%s is not a directory", quote(path))
		}
		if st.Uid != c.UID {
			return all, invalid("directories", "%s does not belong to the client", quote(path))
		}
	}
	for _, v := range r.Volumes {
		if v.Image {
			if _, err := all.openImage("volumes", v.Source); err != nil {
				return all, err
			}
			continue
		}
		m := mounts.Mount{Root: "/", Path: strings.TrimPrefix(v.Source, "/"), ReadOnly: v.ReadOnly}
		st, err := all.open("volumes", v.Source, m)
		if err != nil {
			return all, err
		}
		if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFDIR && kind != unix.S_IFREG {
			return all, invalid("volumes", "%s is neither a directory nor a regular file", quote(v.Source))
		}
	}
	if r.Rootfs.Kind == policy.RootfsImage {
		return all, all.openRoot(r.Rootfs)
	}
	return all, nil
}

// openRoot opens the image of a root, and its verity data.
func (o *openMounts) openRoot(r policy.Rootfs) error {
	st, err := o.openImage("rootfs.image", r.Image)
	if err != nil || r.RootHash == "" {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return invalid("rootfs.verity_root_hash", "%s is a directory tree: only a disk image has a root hash", quote(r.Image))
	}
	// An image with a partition table may have its verity data in it.
	if _, err := os.Lstat(r.Image + veritySuffix); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_, err = o.openImage("rootfs.image", r.Image+veritySuffix)
	return err
}

// veritySuffix is where the verity data of an image is, as systemd has it for
// RootVerity= (systemd.exec(5)).
const veritySuffix = ".verity"

// openImage opens an image, which must be root's alone to change.
func (o *openMounts) openImage(field, image string) (*unix.Stat_t, error) {
	m := mounts.Mount{Root: "/", Path: strings.TrimPrefix(image, "/"), ReadOnly: true}
	st, err := o.open(field, image, m)
	if err != nil {
		return nil, err
	}
	if st.Uid != 0 || st.Mode&0o022 != 0 {
		return nil, invalid(field, "others than root can write to %s", quote(image))
	}
	return st, nil
}

// openMounts are open, and on their way to PID 1.
type openMounts []mounts.Mount

func (o *openMounts) open(field, path string, m mounts.Mount) (*unix.Stat_t, error) {
	fd, err := mounts.Open(m)
	switch {
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.EXDEV), errors.Is(err, unix.ENOTDIR):
		return nil, invalid(field, "%s leads over a symlink or a mount, or is not a directory", quote(path))
	case err != nil:
		return nil, invalid(field, "%s cannot be opened: %v", quote(path), err)
	}
	m.FD = fd
	*o = append(*o, m)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("cannot look at %s: %w", path, err)
	}
	return &st, nil
}

// tree is whether the first is a directory.
func (o openMounts) tree() bool {
	var st unix.Stat_t
	return unix.Fstat(o[0].FD, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

func (o openMounts) close() {
	for _, m := range o {
		_ = unix.Close(m.FD)
	}
}

// stage lets PID 1 see the decision's directories and volumes, for the start of the
// unit of r. The caller calls unstage when that has ended, well or not.
func (s *Server) stage(ctx context.Context, r *record, d *policy.Decision, user *mounts.User, h *unit.Host) (unstage func(), err error) {
	open, err := directoriesOf(d)
	defer func() { open.close() }()
	if err != nil {
		return nil, err
	}
	crashpoint.Here("start/opened")
	for i := range open[:3] {
		open[i].Map = user
	}
	if h.RootHashSignature, err = signatureAt(d.Request().Rootfs.Signature); err != nil {
		return nil, err
	}
	paths, unmapped, err := s.config.Mounts.Stage(ctx, r.unit, open)
	if ro, is := errors.AsType[*mounts.ReadOnlyError](err); is && ro.N < len(open) {
		return nil, invalid("directories", "/%s is on a file system that is mounted read-only, so that nobody can write to it; "+
			"a volume can be read with read_only = true of volume_mount, or bind_ro", filepath.Join(open[ro.N].Root, open[ro.N].Path)[1:])
	}
	if err != nil {
		return nil, &unavailableError{err}
	}
	if err := r.settle(unmapped); err != nil {
		s.unstage(context.WithoutCancel(ctx), r.unit)
		return nil, err
	}
	h.Alloc, h.Local, h.Secrets = paths[0], paths[1], paths[2]
	for i, v := range d.Request().Volumes {
		h.Volumes = append(h.Volumes, unit.Volume{Source: paths[3+i], Destination: v.Destination, ReadOnly: v.ReadOnly, Image: v.Image})
	}
	image := 3 + len(h.Volumes)
	s.showRoot(d, h, open[image:], paths[image:])
	return func() { s.unstage(context.WithoutCancel(ctx), r.unit) }, nil
}

// unstage takes back what was staged for a unit. It asks twice: the process that mounts
// may have died meanwhile, and PID 1 starts it again. What it cannot take back shows
// nobody but root anything; the removal of the unit takes it back, or the next broker.
func (s *Server) unstage(ctx context.Context, name string) {
	err := s.config.Mounts.Unstage(ctx, name)
	if err != nil {
		err = s.config.Mounts.Unstage(ctx, name)
	}
	if err != nil {
		s.units.staged(name)
		s.log.Error("cannot take back mounts", slog.String("BROKER_UNIT", name), slog.Any("error", err))
	}
}

// clearStaged takes back what an earlier broker staged, and removes the roots of
// units that are gone. A unit that PID 1 is starting may need its own still: it is
// taken back when the unit is removed.
func (s *Server) clearStaged(ctx context.Context) error {
	staged, err := s.config.Mounts.Staged()
	if err != nil {
		return fmt.Errorf("cannot look for mounts of an earlier broker: %w", err)
	}
	for _, name := range staged {
		if s.units.starting(name) {
			s.units.staged(name)
			continue
		}
		s.unstage(ctx, name)
	}
	entries, err := os.ReadDir(s.dirs.roots)
	if err != nil {
		return fmt.Errorf("cannot look for root directories of an earlier broker: %w", err)
	}
	for _, e := range entries {
		if !s.units.known(e.Name()) {
			s.removeRoot(e.Name())
		}
	}
	return nil
}

// rootFor is the root directory of the unit of r: the skeleton that all share, or
// one of its own if PID 1 is to make mount points in it.
func (s *Server) rootFor(r *record, d *policy.Decision) (string, error) {
	if d.Request().Rootfs.Kind == policy.RootfsHost {
		root := filepath.Join(s.dirs.roots, r.unit)
		return root, s.makeHostRoot(root, d.Request())
	}
	own := len(d.Request().Volumes) > 0 || r.manager != 0
	for _, v := range d.Values() {
		own = own || v.Name == "TemporaryFileSystem"
	}
	if !own {
		return s.dirs.root, nil
	}
	root := filepath.Join(s.dirs.roots, r.unit)
	return root, makeSkeleton(root)
}

// removeRoot removes a root directory of a unit's own: empty directories and
// symlinks, on which nothing is mounted in the broker's or PID 1's namespace.
func (s *Server) removeRoot(name string) {
	if err := os.RemoveAll(filepath.Join(s.dirs.roots, name)); err != nil {
		s.log.Error("cannot remove the root directory of a unit", slog.String("BROKER_UNIT", name), slog.Any("error", err))
	}
}
