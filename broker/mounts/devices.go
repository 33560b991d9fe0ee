// SPDX-License-Identifier: MPL-2.0

package mounts

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// DeviceError is a device node that no unit can have.
type DeviceError struct {
	Path    string `json:"path"`
	Problem string `json:"problem"`
}

// Error implements error.
func (e *DeviceError) Error() string { return fmt.Sprintf("%q %s", e.Path, e.Problem) }

// hostDev is where the nodes are that PID 1 binds by their paths.
type hostDev struct {
	// base is the host's root directory, and owner who is root; tests change both.
	base  string
	owner uint32
}

// check looks at a node. Policy allows nodes by their paths, which say nothing of what
// is there: a node may have any name. What was looked at is what PID 1 finds, as root
// alone can change the directories on the way.
func (h hostDev) check(path string) error {
	problem := func(format string, args ...any) error {
		return &DeviceError{path, fmt.Sprintf(format, args...)}
	}
	rel := strings.TrimPrefix(path, "/")
	fd, err := Open(Mount{Root: h.base, Path: rel})
	switch {
	case errors.Is(err, unix.ELOOP):
		return problem("is a symlink, or leads over one; name the node itself (readlink -f %s)", path)
	case err != nil:
		return problem("cannot be opened: %v", err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return problem("cannot be looked at: %v", err)
	}
	if text := deviceProblem(st.Mode, st.Rdev); text != "" {
		return problem("%s", text)
	}
	for dir := filepath.Dir(rel); ; dir = filepath.Dir(dir) {
		if err := unix.Lstat(filepath.Join(h.base, dir), &st); err != nil {
			return problem("cannot be looked at: %v", err)
		}
		if st.Uid != h.owner || st.Mode&0o022 != 0 {
			return problem("can be exchanged: others than root can change /%s", strings.TrimPrefix(dir, "."))
		}
		if dir == "." {
			return nil
		}
	}
}

// number is that of a character device.
type number struct{ major, minor uint32 }

// hostNumbers are devices with which a task would be as good as root, or as the machine,
// whatever they are called (Documentation/admin-guide/devices.txt in the kernel's
// source). The policy refuses their usual names when it is loaded.
var hostNumbers = map[number]string{
	{1, 1}:    "the memory of the machine (/dev/mem)",
	{1, 2}:    "the memory of the kernel (/dev/kmem)",
	{1, 4}:    "the machine's I/O ports (/dev/port)",
	{1, 11}:   "the kernel's log (/dev/kmsg)",
	{5, 1}:    "the machine's console (/dev/console)",
	{10, 144}: "the memory of the firmware (/dev/nvram)",
	{10, 223}: "an input device of everybody's choice (/dev/uinput)",
}

// registersMajor is that of the registers of CPUs, /dev/cpu/*/msr.
const registersMajor = 202

// deviceProblem is why a node is none for tasks; empty if it is one.
func deviceProblem(mode uint32, rdev uint64) string {
	n := number{unix.Major(rdev), unix.Minor(rdev)}
	switch mode & unix.S_IFMT {
	case unix.S_IFBLK:
		return ""
	case unix.S_IFCHR:
		if what := hostNumbers[n]; what != "" {
			return "is " + what + ", which no task can have"
		}
		if n.major == registersMajor {
			return "is the registers of a CPU (/dev/cpu/*/msr), which no task can have"
		}
		return ""
	}
	return "is not a device"
}
