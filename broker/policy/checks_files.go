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
	if kind != RootfsImage {
		return true
	}
	if s := r.Rootfs.Signature; s == "" && l.files.requireSignature || s != "" && anchorOf(l.files.images, s) == "" {
		return false
	}
	return anchorOf(l.files.images, r.Rootfs.Image) != ""
}

func rootfsDenied(c *client, l *rule, r *Request) *Denial {
	d := &Denial{Subject: "rootfs", Value: string(r.Rootfs.Kind)}
	switch {
	case r.Rootfs.Kind == RootfsImage && l.files.requireSignature && r.Rootfs.Signature == "" && anchorOf(l.files.images, r.Rootfs.Image) != "":
		d.Value = r.Rootfs.Image
		d.Reason = fmt.Sprintf("rule %q wants the image signed; set image_root_hash and image_root_hash_signature in the task's config", l.name)
	case r.Rootfs.Signature != "" && anchorOf(l.files.images, r.Rootfs.Signature) == "" && anchorOf(l.files.images, r.Rootfs.Image) != "":
		d.Value = r.Rootfs.Signature
		d.Reason = fmt.Sprintf("no rule of policy client %q lets this task have the signature; put it into a directory of images of the rule", c.Name)
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
