// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"slices"
)

func rootfsAllowed(_ *client, l *rule, r *Request) bool {
	kind := r.Rootfs.kind()
	if !slices.Contains(l.files.kinds(), kind) {
		return false
	}
	return kind != RootfsImage || anchorOf(l.files.images, r.Rootfs.Image) != ""
}

func rootfsDenied(c *client, l *rule, r *Request) *Denial {
	d := &Denial{Subject: "rootfs", Value: string(r.Rootfs.Kind)}
	switch {
	case r.Rootfs.Kind == RootfsImage && slices.Contains(l.files.rootfs, RootfsImage):
		d.Value = r.Rootfs.Image
		d.Reason = fmt.Sprintf("no rule of policy client %q lets this task have this image; "+
			"ask the operator to add it, or a directory that holds it, to images of a rule", c.Name)
	default:
		d.Reason = fmt.Sprintf("no rule of policy client %q lets this task have this root file system; "+
			"choose another rootfs, or ask the operator to add it to rootfs of a rule", c.Name)
	}
	return d
}

func devicesAllowed(_ *client, l *rule, r *Request) bool {
	return !slices.ContainsFunc(r.Devices, func(d Device) bool { return !slices.Contains(l.files.devices, d.Path) })
}

func devicesDenied(c *client, l *rule, r *Request) *Denial {
	d := &Denial{Subject: "device"}
	for _, dev := range r.Devices {
		if !slices.Contains(l.files.devices, dev.Path) {
			d.Value = dev.Path
			break
		}
	}
	d.Reason = fmt.Sprintf("no rule of policy client %q lets this task use the device; ask the operator to add it to devices of a rule", c.Name)
	return d
}
