// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"nomad-systemd-driver/broker/policy"
)

// Where each view has files, or a program can make them; inMinimal what a minimal one
// has besides, and notInHost what lacks of the host's in a view of it.
var (
	inAll     = []string{"/alloc", "/dev", "/local", "/proc", "/secrets", "/sys", "/tmp", "/var/tmp"}
	inMinimal = []string{"/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr"}
	notInHost = []string{"/run"}
)

// unseen says what would show dir of the host to the unit of r, if its view lacks it,
// or that nothing would. It does not look whether the host has it.
func unseen(r *policy.Request, allocRoot, dir string) string {
	if !path.IsAbs(dir) || dir == "/" || isIn(dir, inAll) || slices.ContainsFunc(r.Volumes, func(v policy.Volume) bool { return isIn(dir, []string{v.Destination}) }) {
		return ""
	}
	where := ""
	source, destination := policy.Showable(dir, allocRoot)
	switch r.Rootfs.Kind {
	case policy.RootfsHost:
		if source && !isIn(dir, notInHost) {
			return ""
		}
	case policy.RootfsImage:
		if !source || !destination {
			return ""
		}
		where = ", and the image has such a directory"
	default:
		if isIn(dir, inMinimal) {
			return ""
		}
	}
	switch {
	case !source:
		return fmt.Sprintf("; the host's %s is not in it, and cannot be: bring the files along with artifact or template blocks", dir)
	case destination:
		return fmt.Sprintf("; the host's %s is not in it: bind_ro = { %q = %q } shows it, where volumes of the policy's rule allow it%s", dir, dir, dir, where)
	}
	elsewhere := path.Join("/srv", dir)
	return fmt.Sprintf("; the host's %s is not in it: bind_ro = { %q = %q } shows it there, where volumes of the policy's rule allow it, or bring the files along with a template block",
		dir, dir, elsewhere)
}

// isIn reports whether dir is one of places or below one.
func isIn(dir string, places []string) bool {
	return slices.ContainsFunc(places, func(place string) bool { return dir == place || strings.HasPrefix(dir, place+"/") })
}
