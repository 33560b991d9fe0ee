// SPDX-License-Identifier: MPL-2.0

package unit

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"sync"

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

// ipc leaves a unit whose image has a root hash in the host's IPC namespace. systemd would
// make the unit's own before it opens the image; device-mapper then waits, for udev to have
// seen the image's device, on a System V semaphore that udev does not find there
// (dm_udev_wait of libdevmapper), and the start of the first unit of an image times out.
func ipc(h Host) []Property {
	if h.RootHash == "" {
		return nil
	}
	return []Property{boolean("PrivateIPC", false)}
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

// ownMemory is a /dev/shm of a unit's own.
var ownMemory = sync.OnceValues(func() (Property, error) {
	d, _ := directive.Lookup("TemporaryFileSystem")
	values, err := d.Parse([]string{sharedMemory + ":mode=1777,nosuid,nodev"})
	if err != nil {
		return Property{}, fmt.Errorf("cannot convert the unit's shared memory: %w", err)
	}
	return Property{values[0].Name, values[0].Value}, nil
})

// ownSharedMemory gives the unit a /dev/shm of its own, unless the values or a volume
// put something there: PrivateDevices= shows the host's (systemd.exec(5)), a place
// where all tasks could read and write. What is in it counts as the unit's memory.
func ownSharedMemory(r *policy.Request, values []Property) ([]Property, error) {
	own, err := ownMemory()
	if err != nil || slices.ContainsFunc(r.Volumes, func(v policy.Volume) bool { return v.Destination == sharedMemory }) {
		return nil, err
	}
	there := false
	for _, v := range values {
		if v.Name == own.Name {
			there = mounts(v.Value, sharedMemory, there)
		}
	}
	if there {
		return nil, nil
	}
	return []Property{own}, nil
}

// mounts reports whether something is there after a TemporaryFileSystem=, of which an
// empty one takes back those before it.
func mounts(v dbus.Variant, path string, before bool) bool {
	list := reflect.ValueOf(v.Value())
	there := before && list.Len() > 0
	for i := range list.Len() {
		there = there || list.Index(i).Field(0).String() == path
	}
	return there
}
