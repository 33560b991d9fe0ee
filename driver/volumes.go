// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/hashicorp/nomad/plugins/drivers"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// Binds are the keys of a task's config block that show the task directories and
// files of the host: source to destination.
type Binds struct {
	Bind   map[string]string `codec:"bind"`
	BindRO map[string]string `codec:"bind_ro"`
	// MountImages are disk images, to what is in them.
	MountImages map[string]string `codec:"mount_images"`
}

// volumes are what a task sees of the host: Nomad's volumes and the task's binds,
// by destination.
func volumes(c *drivers.TaskConfig, b *Binds) ([]*brokerv1.Volume, error) {
	var all []*brokerv1.Volume
	for _, m := range c.Mounts {
		switch m.PropagationMode {
		case "", "private": // of Nomad's modes the one that shows nothing of later mounts
		default:
			return nil, fmt.Errorf("volume_mount %s: propagation_mode %q is not possible: a task without privileges sees no mounts made later; "+
				`set it to "private" or remove it`, m.TaskPath, m.PropagationMode)
		}
		if m.SELinuxLabel != "" {
			return nil, fmt.Errorf("volume_mount %s: the systemd driver does not relabel volumes; remove selinux_label", m.TaskPath)
		}
		all = append(all, &brokerv1.Volume{Source: path.Clean(m.HostPath), Destination: path.Clean("/" + m.TaskPath), ReadOnly: m.Readonly})
	}
	for _, binds := range []struct {
		of       map[string]string
		readOnly bool
	}{{b.Bind, false}, {b.BindRO, true}} {
		for _, source := range slices.Sorted(maps.Keys(binds.of)) {
			all = append(all, &brokerv1.Volume{Source: source, Destination: binds.of[source], ReadOnly: binds.readOnly})
		}
	}
	for _, source := range slices.Sorted(maps.Keys(b.MountImages)) {
		all = append(all, &brokerv1.Volume{Source: source, Destination: b.MountImages[source], ReadOnly: true, Image: true})
	}
	slices.SortStableFunc(all, func(a, b *brokerv1.Volume) int {
		if a.GetDestination() < b.GetDestination() {
			return -1
		}
		return 1
	})
	return all, nil
}
