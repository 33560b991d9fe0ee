// SPDX-License-Identifier: MPL-2.0

package unit

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/directive"
	"nomad-systemd-driver/broker/policy"
)

// pair is one element of a(ss).
type pair struct{ Name, Value string }

// mountImage is MountImages= on D-Bus, a(ssba(ss)): source, destination, ignore a
// missing source, partitions and their mount options.
type mountImage struct {
	Source, Destination string
	IgnoreMissing       bool
	Options             []pair
}

// readOnlyImage are the options of an image that is nobody's to write to.
var readOnlyImage = []pair{{"root", "ro"}}

// rootOf is the root of the unit's view.
func rootOf(h Host) ([]Property, error) {
	if h.Image == "" {
		return []Property{str("RootDirectory", h.Root)}, nil
	}
	props := []Property{
		str("RootImage", h.Image),
		{"RootImageOptions", dbus.MakeVariant(readOnlyImage)},
	}
	if h.RootHash != "" {
		hash, err := hex.DecodeString(h.RootHash)
		if err != nil {
			return nil, fmt.Errorf("cannot convert a root hash: %w", err)
		}
		props = append(props, Property{"RootHash", dbus.MakeVariant(hash)})
	}
	if len(h.RootHashSignature) > 0 {
		props = append(props, Property{"RootHashSignature", dbus.MakeVariant(h.RootHashSignature)})
	}
	if h.RootVerity != "" {
		props = append(props, str("RootVerity", h.RootVerity))
	}
	return props, nil
}

// hidden are the host's paths that no unit sees, whatever its root shows. They
// come after all others: an empty line of a directive would lift them.
func hidden(h Host) []Property {
	if len(h.Hidden) == 0 {
		return nil
	}
	paths := make([]string, 0, len(h.Hidden))
	for _, p := range h.Hidden {
		paths = append(paths, "-+"+p)
	}
	return []Property{{"InaccessiblePaths", dbus.MakeVariant(paths)}}
}

const sharedMemory = "/dev/shm"

// ownSharedMemory gives the unit a /dev/shm of its own, unless the values or a volume
// put something there: PrivateDevices= shows the host's (systemd.exec(5)), a place
// where all tasks could read and write. What is in it counts as the unit's memory.
func ownSharedMemory(r *policy.Request, values []Property) ([]Property, error) {
	if slices.ContainsFunc(r.Volumes, func(v policy.Volume) bool { return v.Destination == sharedMemory }) {
		return nil, nil
	}
	d, _ := directive.Lookup("TemporaryFileSystem")
	parsed, err := d.Parse([]string{sharedMemory + ":mode=1777,nosuid,nodev"})
	if err != nil {
		return nil, fmt.Errorf("cannot convert the unit's shared memory: %w", err)
	}
	for _, v := range values {
		if v.Name == d.Name && mounts(v.Value, sharedMemory) {
			return nil, nil
		}
	}
	return []Property{{parsed[0].Name, parsed[0].Value}}, nil
}

// mounts reports whether a TemporaryFileSystem= is there.
func mounts(v dbus.Variant, path string) bool {
	list := reflect.ValueOf(v.Value())
	for i := range list.Len() {
		if list.Index(i).Field(0).String() == path {
			return true
		}
	}
	return false
}
