// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"slices"
	"strings"
)

// Rootfs is what a unit sees of the host beside its own directories.
type Rootfs struct {
	Kind RootfsKind
	// Image is an absolute path of the host, for RootfsImage.
	Image string
	// RootHash is the root hash of dm-verity in hexadecimal, or empty.
	RootHash string
	// Signature is an absolute path of the host, of a signature of RootHash, or empty.
	Signature string
}

// RootfsKind is one kind of root file system; empty is RootfsMinimal.
type RootfsKind string

func (r Rootfs) kind() RootfsKind {
	if r.Kind == "" {
		return RootfsMinimal
	}
	return r.Kind
}

// The kinds of root file systems.
const (
	RootfsMinimal RootfsKind = "minimal" // /usr and a few files of /etc
	RootfsHost    RootfsKind = "host"    // all of the host but /run and /tmp, read-only
	RootfsImage   RootfsKind = "image"   // a directory tree or a disk image
)

// Device is a device node, with permissions of "r", "w" and "m".
type Device struct{ Path, Permissions string }

// files are what a rule allows of the host's files. The zero value is the minimal
// root file system and nothing else.
type files struct {
	rootfs []RootfsKind
	// images are directories that hold images, or images; devices are nodes.
	images, devices []string
	// requireSignature lets no image be shown that nobody has signed.
	requireSignature bool
}

// kinds are the root file systems that f allows.
func (f *files) kinds() []RootfsKind {
	if len(f.rootfs) == 0 {
		return []RootfsKind{RootfsMinimal}
	}
	return f.rootfs
}

// anchorOf is the first of paths that is p or holds it.
func anchorOf(paths []string, p string) string {
	i := slices.IndexFunc(paths, func(at string) bool { return at == p || below(at, p) })
	if i < 0 || !cleanAbsolute(p) {
		return ""
	}
	return paths[i]
}

// rootfsKinds is the list called rootfs.
func (r *reader) rootfsKinds() []RootfsKind {
	var all []RootfsKind
	for _, v := range r.list("rootfs") {
		k := RootfsKind(v.text)
		if !slices.Contains([]RootfsKind{RootfsMinimal, RootfsHost, RootfsImage}, k) {
			r.fail(v.at, "%q is not a root file system; known: minimal, host, image", v.text)
		}
		all = append(all, k)
	}
	return all
}

func (c *compiler) filesOf(r *reader) files {
	var f files
	f.rootfs = r.rootfsKinds()
	f.images = c.places(r, "images", closedToTasks)
	if slices.Contains(f.rootfs, RootfsImage) && len(f.images) == 0 {
		r.fail(r.head, `%s has "image" in rootfs and allows none: write their paths into images`, r.title)
	}
	if f.requireSignature = r.boolean("require_signature"); f.requireSignature && len(f.images) == 0 {
		r.fail(r.at("require_signature"), "%s allows no images, which a signature could be of: write their paths into images", r.title)
	}
	for _, v := range r.list("devices") {
		p := r.path(v)
		host := slices.ContainsFunc(hostDevices, func(at string) bool { return p == at || below(at, p) })
		if strings.HasPrefix(p, "/dev/") && !host {
			f.devices = append(f.devices, p)
			continue
		}
		r.fail(v.at, "%q is not a device below /dev that tasks could share", v.text)
	}
	return f
}

// hostDevices are as good as root, or as the machine, or are directories that hold what
// anybody puts there. Of other names for the same devices the broker knows the numbers.
var hostDevices = []string{
	"/dev/console", "/dev/fd", "/dev/initctl", "/dev/kmem", "/dev/kmsg", "/dev/mem", "/dev/mqueue", "/dev/nvram", "/dev/port", "/dev/shm", "/dev/uinput",
}
