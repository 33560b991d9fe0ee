// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/plugins/drivers"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// TestDevicesOfATask: those of its config block, and those that Nomad's device plugins
// reserved for it.
func TestDevicesOfATask(t *testing.T) {
	for _, tt := range []struct {
		name    string
		own     []string
		plugins []*drivers.DeviceConfig
		want    []string // or one part of the error
	}{
		{"none", nil, nil, nil},
		{"its own", []string{"/dev/fuse", "/dev/kvm:r", "/dev/sg0:rwm"}, nil, []string{"/dev/fuse rw", "/dev/kvm r", "/dev/sg0 rwm"}},
		{
			"a plugin's",
			[]string{"/dev/fuse"},
			[]*drivers.DeviceConfig{
				{HostPath: "/dev/card0", TaskPath: "/dev/card0", Permissions: "rwm"}, {HostPath: "/dev/card1", Permissions: "mr"},
			},
			[]string{"/dev/fuse rw", "/dev/card0 rwm", "/dev/card1 rm"},
		},
		{
			"a plugin's by another name", nil,
			[]*drivers.DeviceConfig{{HostPath: "/dev/card0", TaskPath: "/dev/card", Permissions: "r"}},
			[]string{"cannot have another path (/dev/card)"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := new(brokerv1.UnitSpec)
			if err := (&Files{Devices: tt.own}).apply(spec, &drivers.TaskConfig{Devices: tt.plugins}); err != nil {
				if len(tt.want) != 1 || !strings.Contains(err.Error(), tt.want[0]) {
					t.Errorf("%v, want %q", err, tt.want)
				}
				return
			}
			var got []string
			for _, d := range spec.GetDevices() {
				got = append(got, d.GetPath()+" "+d.GetPermissions())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestRootfsOfATask: an image and what is said of it belong together.
func TestRootfsOfATask(t *testing.T) {
	for _, tt := range []struct {
		name string
		of   Files
		want string // the kind, or a part of the error
	}{
		{"the broker's own", Files{}, "KIND_UNSPECIFIED"},
		{"the host's", Files{Rootfs: "host"}, "KIND_HOST"},
		{"an image", Files{Rootfs: "image", Image: "/srv/i", ImageRootHash: "00"}, "KIND_IMAGE"},
		{"an image without one", Files{Rootfs: "image"}, "needs image"},
		{"an image for another kind", Files{Rootfs: "host", Image: "/srv/i"}, `need rootfs = "image"`},
		{"a hash for another kind", Files{ImageRootHash: "00"}, `need rootfs = "image"`},
		{"a signed image", Files{Rootfs: "image", Image: "/srv/i", ImageRootHash: "00", ImageSignature: "/srv/s"}, "KIND_IMAGE"},
		{"a signature of nothing", Files{Rootfs: "image", Image: "/srv/i", ImageSignature: "/srv/s"}, "which is missing"},
		{"a signature for another kind", Files{ImageSignature: "/srv/s"}, `need rootfs = "image"`},
		{"no kind", Files{Rootfs: "chroot"}, `rootfs "chroot": it must be`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.of.rootfs()
			if err != nil && !strings.Contains(err.Error(), tt.want) || err == nil && got.GetKind().String() != tt.want {
				t.Errorf("%v, %v, want %q", got, err, tt.want)
			}
		})
	}
}
