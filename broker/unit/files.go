// SPDX-License-Identifier: MPL-2.0

package unit

import (
	"encoding/hex"
	"fmt"

	"github.com/godbus/dbus/v5"
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
