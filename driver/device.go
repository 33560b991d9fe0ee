// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// perDevice are directives whose lines begin with a device.
var perDevice = []string{
	"IODeviceLatencyTargetSec", "IODeviceWeight", "IOReadBandwidthMax", "IOReadIOPSMax", "IOWriteBandwidthMax", "IOWriteIOPSMax",
}

// nameDevices replaces a directory of the task's view with the disk that it lies on,
// so that the policy decides on a device. It looks with the rights of the agent.
func nameDevices(spec *brokerv1.UnitSpec) error {
	source := map[string]string{
		"/alloc": spec.GetDirectories().GetAlloc(), "/local": spec.GetDirectories().GetLocal(), "/secrets": spec.GetDirectories().GetSecrets(),
	}
	for _, v := range spec.GetVolumes() {
		source[v.GetDestination()] = v.GetSource()
	}
	for _, d := range spec.GetDirectives() {
		if !slices.Contains(perDevice, d.GetName()) {
			continue
		}
		for i, line := range d.GetValues() {
			path, limit, _ := strings.Cut(line, " ")
			dir, ok := source[path]
			if !ok {
				continue
			}
			device, err := diskOf(dir)
			if err != nil {
				return fmt.Errorf("%s: cannot tell on which device %s lies: %w; name the device, as in \"/dev/sda %s\"", d.GetName(), path, err, limit)
			}
			d.Values[i] = device + " " + limit
		}
	}
	return nil
}

// diskOf is the device that a directory lies on, or the first directory above it
// that there is.
func diskOf(dir string) (string, error) {
	var st unix.Stat_t
	err := unix.Stat(dir, &st)
	for errors.Is(err, unix.ENOENT) && dir != "/" {
		dir = filepath.Dir(dir)
		err = unix.Stat(dir, &st)
	}
	if err != nil {
		return "", &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	return disk("/sys/dev/block", unix.Major(st.Dev), unix.Minor(st.Dev))
}

var errNoDisk = errors.New("its file system has no block device of its own")

// disk is the whole disk of a block device: the kernel has no limits for partitions,
// and systemd sets those of the disk then.
func disk(sys string, major, minor uint32) (string, error) {
	dir, err := filepath.EvalSymlinks(filepath.Join(sys, fmt.Sprintf("%d:%d", major, minor)))
	if err != nil {
		return "", errNoDisk
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		dir = filepath.Dir(dir)
	}
	text, err := os.ReadFile(filepath.Join(dir, "uevent"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVNAME="); ok {
			return "/dev/" + name, nil
		}
	}
	return "", errNoDisk
}
