// SPDX-License-Identifier: MPL-2.0

package mounts

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDeviceIsWhatItsPathSays: a node may have any name, also below /dev.
func TestDeviceIsWhatItsPathSays(t *testing.T) {
	for name, tt := range map[string]struct {
		mode uint32
		rdev uint64
		want string
	}{
		"a disk":               {unix.S_IFBLK | 0o660, unix.Mkdev(1, 1), ""},
		"fuse":                 {unix.S_IFCHR | 0o666, unix.Mkdev(10, 229), ""},
		"null":                 {unix.S_IFCHR | 0o666, unix.Mkdev(1, 3), ""},
		"memory, by any name":  {unix.S_IFCHR | 0o640, unix.Mkdev(1, 1), "/dev/mem"},
		"ports":                {unix.S_IFCHR | 0o640, unix.Mkdev(1, 4), "/dev/port"},
		"the kernel's memory":  {unix.S_IFCHR | 0o640, unix.Mkdev(1, 2), "/dev/kmem"},
		"the kernel's log":     {unix.S_IFCHR | 0o644, unix.Mkdev(1, 11), "/dev/kmsg"},
		"the console":          {unix.S_IFCHR | 0o600, unix.Mkdev(5, 1), "/dev/console"},
		"keys that are typed":  {unix.S_IFCHR | 0o600, unix.Mkdev(10, 223), "/dev/uinput"},
		"registers of any CPU": {unix.S_IFCHR | 0o600, unix.Mkdev(202, 7), "msr"},
		"a file":               {unix.S_IFREG | 0o644, 0, "is not a device"},
		"a FIFO":               {unix.S_IFIFO | 0o600, 0, "is not a device"},
		"a directory":          {unix.S_IFDIR | 0o755, 0, "is not a device"},
	} {
		if got := deviceProblem(tt.mode, tt.rdev); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// TestDevicesThatCannotBe: PID 1 binds what is at the path, and follows symlinks.
func TestDevicesThatCannotBe(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]string{
		"/dev/stdin": "is a symlink", "/dev/fd/0": "is a symlink", "/dev/nosuch": "no such file", "/dev": "is not a device",
	} {
		err := w.CheckDevices(t.Context(), []string{path})
		if d, is := errors.AsType[*DeviceError](err); !is || d.Path != path || !strings.Contains(d.Problem, want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	dir := filepath.Join(w.root, "dev/shm")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Skipf("this host lets nobody make a device: %v", err)
	}
	own := hostDev{w.root, uint32(os.Getuid())}
	if err := own.check("/dev/shm/null"); err != nil {
		t.Errorf("in a directory of root's: %v", err)
	}
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	if err := own.check("/dev/shm/null"); err == nil || !strings.Contains(err.Error(), "others than root can change /dev/shm") {
		t.Errorf("in a directory of everybody's: %v", err)
	}
	if err := (hostDev{w.root, own.owner + 1}).check("/dev/shm/null"); err == nil {
		t.Error("in a directory of somebody else's")
	}
}
