// SPDX-License-Identifier: MPL-2.0

package policy

import "testing"

func TestRootfsAndDevicesNeedTheRule(t *testing.T) {
	strict := &rule{files: files{rootfs: []RootfsKind{RootfsImage}, images: []string{"/srv/images"}, requireSignature: true}}
	signed := func(signature string) Request {
		return Request{Rootfs: Rootfs{Kind: RootfsImage, Image: "/srv/images/a", Signature: signature}}
	}
	bare, full := &rule{}, &rule{files: files{
		rootfs: []RootfsKind{RootfsHost, RootfsImage}, images: []string{"/srv/images", "/srv/one.img"}, devices: []string{"/dev/fuse"},
	}}
	for _, tt := range []struct {
		name    string
		rule    *rule
		request Request
		allowed bool
	}{
		{"nothing asked", bare, Request{}, true},
		{"minimal", bare, Request{Rootfs: Rootfs{Kind: RootfsMinimal}}, true},
		{"host of a rule without it", bare, Request{Rootfs: Rootfs{Kind: RootfsHost}}, false},
		{"minimal of a rule that lists others", full, Request{}, false},
		{"host", full, Request{Rootfs: Rootfs{Kind: RootfsHost}}, true},
		{"an image itself", full, Request{Rootfs: Rootfs{Kind: RootfsImage, Image: "/srv/one.img"}}, true},
		{"an image in a directory", full, Request{Rootfs: Rootfs{Kind: RootfsImage, Image: "/srv/images/a/b"}}, true},
		{"an image beside the directory", full, Request{Rootfs: Rootfs{Kind: RootfsImage, Image: "/srv/images2"}}, false},
		{"an image that leads out", full, Request{Rootfs: Rootfs{Kind: RootfsImage, Image: "/srv/images/../x"}}, false},
		{"an image without a path", full, Request{Rootfs: Rootfs{Kind: RootfsImage}}, false},
		{"a signature", full, signed("/srv/images/a.p7s"), true},
		{"a signature from elsewhere", full, signed("/srv/a.p7s"), false},
		{"an image without the signature that the rule wants", strict, signed(""), false},
		{"one with it", strict, signed("/srv/images/a.p7s"), true},
		{"a device", full, Request{Rootfs: Rootfs{Kind: RootfsHost}, Devices: []Device{{"/dev/fuse", "rw"}}}, true},
		{"another device", full, Request{Rootfs: Rootfs{Kind: RootfsHost}, Devices: []Device{{"/dev/fuse", "rw"}, {"/dev/vda", "r"}}}, false},
		{"a device of a rule without it", bare, Request{Devices: []Device{{"/dev/fuse", "rw"}}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &client{}
			rootfs, devices := rootfsAllowed(c, tt.rule, &tt.request), devicesAllowed(c, tt.rule, &tt.request)
			if (rootfs && devices) != tt.allowed {
				t.Errorf("rootfs allowed: %t, devices allowed: %t, want both: %t", rootfs, devices, tt.allowed)
			}
			mount := Volume{Source: "/srv/images/a", Destination: "/a", ReadOnly: true, Image: true}
			if problem := volumeProblem(tt.rule, mount); (problem == "") != (tt.rule == full) {
				t.Errorf("mounting an image beside the root: %q", problem)
			}
			if !rootfs && rootfsDenied(c, tt.rule, &tt.request).Reason == "" || !devices && devicesDenied(c, tt.rule, &tt.request).Reason == "" {
				t.Error("no reason is given")
			}
		})
	}
}
