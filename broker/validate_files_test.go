// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"strings"
	"testing"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// TestImageWithAHashTakesNoPrivateIPC: the start would wait for udev in vain.
func TestImageWithAHashTakesNoPrivateIPC(t *testing.T) {
	for hash, good := range map[string]bool{"": true, strings.Repeat("0a", 32): false} {
		s := &brokerv1.UnitSpec{
			Rootfs:     &brokerv1.Rootfs{Kind: brokerv1.Rootfs_KIND_IMAGE, Image: "/srv/i", VerityRootHash: hash},
			Directives: []*brokerv1.Directive{{Name: "PrivateIPC", Values: []string{"yes"}}},
		}
		if err := checkFiles(s); (err == nil) != good {
			t.Errorf("with hash %q: %v", hash, err)
		}
	}
}

func TestFilesAreChecked(t *testing.T) {
	image := func(path, hash string) *brokerv1.Rootfs {
		return &brokerv1.Rootfs{Kind: brokerv1.Rootfs_KIND_IMAGE, Image: path, VerityRootHash: hash}
	}
	signed := func(path, hash, signature string) *brokerv1.Rootfs {
		r := image(path, hash)
		r.VeritySignature = signature
		return r
	}
	for _, tt := range []struct {
		name   string
		rootfs *brokerv1.Rootfs
		device *brokerv1.Device
		good   bool
	}{
		{"nothing", nil, nil, true},
		{"host", &brokerv1.Rootfs{Kind: brokerv1.Rootfs_KIND_HOST}, nil, true},
		{"an unknown kind", &brokerv1.Rootfs{Kind: 99}, nil, false},
		{"an image", image("/srv/i", ""), nil, true},
		{"an image with its hash", image("/srv/i", strings.Repeat("0a", 32)), nil, true},
		{"a short hash", image("/srv/i", "0a"), nil, false},
		{"a hash that is none", image("/srv/i", "x"), nil, false},
		{"a signed image", signed("/srv/i", strings.Repeat("0a", 32), "/srv/i.p7s"), nil, true},
		{"a signature of nothing", signed("/srv/i", "", "/srv/i.p7s"), nil, false},
		{"a signature that leads out", signed("/srv/i", strings.Repeat("0a", 32), "/srv/../i.p7s"), nil, false},
		{"a signature for the host's view", &brokerv1.Rootfs{Kind: brokerv1.Rootfs_KIND_HOST, VeritySignature: "/srv/s"}, nil, false},
		{"no image", image("", ""), nil, false},
		{"an image that leads out", image("/srv/../etc", ""), nil, false},
		{"an image for the host's view", &brokerv1.Rootfs{Kind: brokerv1.Rootfs_KIND_HOST, Image: "/srv/i"}, nil, false},
		{"a device", nil, &brokerv1.Device{Path: "/dev/fuse", Permissions: "rw"}, true},
		{"a device without permissions", nil, &brokerv1.Device{Path: "/dev/fuse"}, false},
		{"a device with others", nil, &brokerv1.Device{Path: "/dev/fuse", Permissions: "wr"}, false},
		{"a device elsewhere", nil, &brokerv1.Device{Path: "/tmp/fuse", Permissions: "r"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &brokerv1.UnitSpec{Rootfs: tt.rootfs}
			if tt.device != nil {
				s.Devices = []*brokerv1.Device{tt.device}
			}
			if err := checkFiles(s); (err == nil) != tt.good {
				t.Errorf("got %v, want it to be good: %t", err, tt.good)
			}
		})
	}
}
