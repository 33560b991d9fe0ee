// SPDX-License-Identifier: MPL-2.0

// Package cgroup reads what a control group (cgroup v2) uses, from the kernel's
// own files. Everybody may read these, so it takes no privilege and nobody's
// help.
//
// Which files there are depends on the kernel's version and configuration and on
// the controllers of the group. A value that is not there is no error: it says
// so itself (Count.OK, Stall.OK), and is not to be taken for zero. Only a group
// that is gone is an error, one that wraps fs.ErrNotExist.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Root is the folder that the hierarchy of control groups is mounted on.
type Root string

// Default is where systemd mounts the hierarchy.
const Default Root = "/sys/fs/cgroup"

// Count is a number that the kernel may not have.
type Count struct {
	N  uint64
	OK bool // the kernel has it
}

// Usage is what a group uses of processors and memory.
type Usage struct {
	At     time.Time // when CPU was read
	CPU    CPU
	Memory Memory
}

// Load is what else there is to know of a group.
type Load struct {
	Pids                           Count
	IO                             IO
	CPUStall, MemoryStall, IOStall Pressure
}

// Usage reads the use of processors and memory of the group at path, which
// begins below the root as in /proc/PID/cgroup.
func (r Root) Usage(path string) (*Usage, error) {
	u := &Usage{At: time.Now()}
	m := &u.Memory
	return u, r.read(path, []file{
		{"cpu.stat", u.CPU.parse},
		{"memory.current", m.Current.parse},
		{"memory.peak", m.Peak.parse},
		{"memory.swap.current", m.Swap.parse},
		{"memory.stat", m.parse},
	})
}

// Load reads the number of tasks, the input and output and the pressure of the
// group at path.
func (r Root) Load(path string) (*Load, error) {
	l := new(Load)
	return l, r.read(path, []file{
		{"pids.current", l.Pids.parse},
		{"io.stat", l.IO.parse},
		{"cpu.pressure", l.CPUStall.parse},
		{"memory.pressure", l.MemoryStall.parse},
		{"io.pressure", l.IOStall.parse},
	})
}

// file is one file of a group and who understands it.
type file struct {
	name  string
	parse func([]byte) error
}

// read has each file parsed that there is.
func (r Root) read(path string, files []file) error {
	if err := check(path); err != nil {
		return err
	}
	dir := string(r) + "/" + path
	fd, err := retry(func() (int, error) { return unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return fmt.Errorf("cannot open control group %s: %w", path, err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	buf, _ := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	complete := true
	for _, f := range files {
		*buf, err = slurp(fd, f.name, *buf)
		switch {
		case absent(err):
			complete = false
			continue
		case err == nil:
			err = f.parse(*buf)
		}
		if err != nil {
			return fmt.Errorf("cannot read %s of control group %s: %w", f.name, path, err)
		}
	}
	if complete {
		return nil
	}
	// A group that goes while it is read loses its files one by one.
	if err := unix.Access(dir, unix.F_OK); err != nil {
		return fmt.Errorf("cannot read control group %s: %w", path, err)
	}
	return nil
}

// check refuses a path that is not one of a group below the root. Paths come
// from the broker, which has them from systemd; this is a second lock.
func check(path string) error {
	if strings.Trim(path, "/") == "" {
		return errors.New("cannot read a control group without a path")
	}
	if slices.Contains(strings.Split(path, "/"), "..") || strings.ContainsRune(path, 0) {
		return fmt.Errorf("cannot read control group %q: its path may not hold \"..\" nor a zero byte", path)
	}
	return nil
}

// absent reports whether the kernel does not have a file, or has it and does not
// fill it: so it answers for pressure that was turned off at boot or for the
// group.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EOPNOTSUPP)
}

// Files are read some hundred times a second on a full host.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 8<<10); return &b }}

// limit is far above what the kernel writes; it is there to have one.
const limit = 1 << 20

// slurp reads a file of the folder dir into buf, which it returns, grown if need
// be. The os package would do more system calls for it: kernel files can be
// polled, so it registers them to be.
func slurp(dir int, name string, buf []byte) ([]byte, error) {
	buf = buf[:0]
	fd, err := retry(func() (int, error) { return unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return buf, err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, len(buf))
		}
		n, err := retry(func() (int, error) { return unix.Read(fd, buf[len(buf):cap(buf)]) })
		if err != nil || n == 0 {
			return buf, err
		}
		if buf = buf[:len(buf)+n]; len(buf) > limit {
			return buf, fmt.Errorf("it is longer than %d bytes", limit)
		}
	}
}

func retry(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR { //nolint:errorlint // a system call's own error
			return n, err
		}
	}
}
