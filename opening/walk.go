// SPDX-License-Identifier: MPL-2.0

package opening

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// maxDepth is how deep a tree may be: as deep as a path can name (PATH_MAX). Who removes
// one (os.RemoveAll) has a descriptor for each level: what is deeper is moved up. A
// variable for tests.
var maxDepth = 2048

// directory is one that is opened as a path alone.
type directory struct {
	fd   int
	name string
	unix.Stat_t
}

// path is the directory itself, whatever becomes of its name.
func (d *directory) path() string { return fmt.Sprintf("/proc/self/fd/%d", d.fd) }

func (d *directory) chmod(mode uint32) error {
	if err := unix.Chmod(d.path(), mode); err != nil {
		return &fs.PathError{Op: "chmod", Path: d.name, Err: err}
	}
	d.Mode = d.Mode&unix.S_IFMT | mode
	return nil
}

// empty reports whether there is nothing in it; false if that cannot be told.
func (d *directory) empty() bool {
	f, err := d.read()
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // it was only read
	names, _ := f.Readdirnames(1)
	return len(names) == 0
}

func (d *directory) read() (*os.File, error) {
	fd, err := unix.Openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.name, Err: err}
	}
	return os.NewFile(uintptr(fd), d.name), nil
}

func (d *directory) close() { _ = unix.Close(d.fd) }

// find opens a directory, if it is one and no symlink.
func find(at int, name string) (directory, error) {
	d := directory{name: name}
	var err error
	if d.fd, err = unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err != nil {
		return d, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if err := unix.Fstat(d.fd, &d.Stat_t); err != nil {
		d.close()
		return d, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return d, nil
}

// errPass is for a directory that is not to be looked into.
var errPass = errors.New("pass this directory by")

// level is a directory on the way down, by which it is known again on the way up, and
// those in it that are left.
type level struct {
	dev, ino uint64
	names    []string
}

// walker goes from directory to directory: a path can be longer than the kernel takes,
// and a tree deeper than there are descriptors. It holds two of them.
type walker struct {
	root, at directory
	stack    []level
	visit    func(directory) error
	moved    int
	errs     []error
}

// walk calls visit for root and each directory of its file system below it, before it
// looks into it, and returns all errors.
func walk(root string, visit func(directory) error) []error {
	top, err := find(unix.AT_FDCWD, root)
	if err != nil {
		return []error{err}
	}
	defer top.close()
	w := &walker{root: top, visit: visit}
	for w.note(w.enter(unix.AT_FDCWD, root)); len(w.stack) > 0; {
		here := &w.stack[len(w.stack)-1]
		if len(here.names) == 0 {
			if !w.leave() {
				break
			}
			continue
		}
		name := here.names[0]
		here.names = here.names[1:]
		w.note(w.enter(w.at.fd, name))
	}
	return w.errs
}

// note keeps err, unless there are enough of them, or it is about something that went
// away while w was on its way.
func (w *walker) note(err error) {
	if err != nil && len(w.errs) <= maxReported && (len(w.stack) == 0 || !errors.Is(err, fs.ErrNotExist)) {
		w.errs = append(w.errs, err)
	}
}

// enter visits a directory and makes it the one where w is.
func (w *walker) enter(at int, name string) error {
	dir, err := find(at, name)
	if err != nil {
		return err
	}
	if dir.Dev != w.root.Dev {
		dir.close()
		return nil
	}
	if err := w.visit(dir); errors.Is(err, errPass) {
		dir.close()
		return nil
	} else if err != nil {
		w.note(err)
	}
	if len(w.stack) > maxDepth {
		defer dir.close()
		return w.moveUp(at, name)
	}
	f, err := dir.read()
	if err != nil {
		dir.close()
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	names := directories(f)
	if len(w.stack) > 0 {
		w.at.close()
	}
	w.at, w.stack = dir, append(w.stack, level{dir.Dev, dir.Ino, names})
	return nil
}

// moveUp moves a directory to the top, to be visited there.
func (w *walker) moveUp(at int, name string) error {
	for {
		w.moved++
		to := fmt.Sprintf(".moved-up-%d", w.moved)
		err := unix.Renameat2(at, name, w.root.fd, to, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EEXIST) {
			continue
		}
		if err != nil {
			return &os.LinkError{Op: "rename", Old: name, New: to, Err: err}
		}
		w.stack[0].names = append(w.stack[0].names, to)
		return nil
	}
}

// leave goes to the directory above, unless somebody has moved the one where w is, or
// there is nothing left.
func (w *walker) leave() bool {
	below := w.at
	defer below.close()
	w.stack = w.stack[:len(w.stack)-1]
	if len(w.stack) == 0 {
		return false
	}
	above, err := find(below.fd, "..")
	if err != nil {
		w.note(err)
		return false
	}
	if to := w.stack[len(w.stack)-1]; above.Dev != to.dev || above.Ino != to.ino {
		w.note(fmt.Errorf("directory %q was moved meanwhile", below.name))
		above.close()
		return false
	}
	w.at = above
	return true
}

// directories are the names of those in f. Symlinks are none.
func directories(f *os.File) (names []string) {
	for {
		entries, err := f.ReadDir(1024)
		for _, e := range entries {
			if e.IsDir() {
				names = append(names, e.Name())
			}
		}
		if len(entries) == 0 || err != nil {
			return names // io.EOF, or what can be read no further
		}
	}
}
