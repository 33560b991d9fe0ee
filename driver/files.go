// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// Files are the keys of a task's config block that say what the task sees.
type Files struct {
	Rootfs        string `codec:"rootfs"`
	Image         string `codec:"image"`
	ImageRootHash string `codec:"image_root_hash"`
	// ImageSignature is the path of a signature of the root hash, on the node.
	ImageSignature string   `codec:"image_root_hash_signature"`
	Devices        []string `codec:"devices"`
}

var filesSpec = map[string]*hclspec.Spec{
	"rootfs":                    hclspec.NewAttr("rootfs", "string", false),
	"image":                     hclspec.NewAttr("image", "string", false),
	"image_root_hash":           hclspec.NewAttr("image_root_hash", "string", false),
	"image_root_hash_signature": hclspec.NewAttr("image_root_hash_signature", "string", false),
	"devices":                   hclspec.NewAttr("devices", "list(string)", false),
}

// apply writes the keys, and the devices that Nomad passes, into spec.
func (f *Files) apply(spec *brokerv1.UnitSpec, c *drivers.TaskConfig) error {
	var err error
	if spec.Rootfs, err = f.rootfs(); err != nil {
		return err
	}
	for _, d := range f.Devices {
		p, access, ok := strings.Cut(d, ":")
		if !ok {
			access = "rw"
		}
		spec.Devices = append(spec.Devices, &brokerv1.Device{Path: p, Permissions: access})
	}
	for _, d := range c.Devices {
		if d.TaskPath != "" && d.TaskPath != d.HostPath {
			return fmt.Errorf("device %s: it cannot have another path (%s) in the task's view", d.HostPath, d.TaskPath)
		}
		spec.Devices = append(spec.Devices, &brokerv1.Device{Path: d.HostPath, Permissions: access(d.Permissions)})
	}
	return nil
}

// access is Nomad's "rwm" in the order of systemd's.
func access(permissions string) string {
	var s strings.Builder
	for _, p := range "rwm" {
		if strings.ContainsRune(permissions, p) {
			s.WriteRune(p)
		}
	}
	return s.String()
}

func (f *Files) rootfs() (*brokerv1.Rootfs, error) {
	kinds := map[string]brokerv1.Rootfs_Kind{
		"": brokerv1.Rootfs_KIND_UNSPECIFIED, "minimal": brokerv1.Rootfs_KIND_MINIMAL,
		"host": brokerv1.Rootfs_KIND_HOST, "image": brokerv1.Rootfs_KIND_IMAGE,
	}
	kind, ok := kinds[f.Rootfs]
	switch image := kind == brokerv1.Rootfs_KIND_IMAGE; {
	case !ok:
		return nil, fmt.Errorf(`rootfs %q: it must be "minimal", "host" or "image"`, f.Rootfs)
	case image && f.Image == "":
		return nil, errors.New(`rootfs = "image" needs image, the path of a directory tree or a disk image on the node`)
	case !image && (f.Image != "" || f.ImageRootHash != "" || f.ImageSignature != ""):
		return nil, errors.New(`image, image_root_hash and image_root_hash_signature need rootfs = "image"`)
	case f.ImageSignature != "" && f.ImageRootHash == "":
		return nil, errors.New("image_root_hash_signature is a signature of image_root_hash, which is missing")
	}
	if f.Rootfs == "" {
		return nil, nil //nolint:nilnil // the broker's own default
	}
	return &brokerv1.Rootfs{Kind: kind, Image: f.Image, VerityRootHash: f.ImageRootHash, VeritySignature: f.ImageSignature}, nil
}
