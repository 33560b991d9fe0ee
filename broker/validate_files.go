// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"nomad-systemd-driver/broker/policy"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

const maxDevices = 64

var accessPattern = regexp.MustCompile(`\Ar?w?m?\z`)

var rootfsKinds = map[brokerv1.Rootfs_Kind]policy.RootfsKind{
	brokerv1.Rootfs_KIND_UNSPECIFIED: policy.RootfsMinimal,
	brokerv1.Rootfs_KIND_MINIMAL:     policy.RootfsMinimal,
	brokerv1.Rootfs_KIND_HOST:        policy.RootfsHost,
	brokerv1.Rootfs_KIND_IMAGE:       policy.RootfsImage,
}

func checkFiles(s *brokerv1.UnitSpec) error {
	for _, check := range []func(*brokerv1.UnitSpec) error{checkRootfs, checkDevices, checkNetworkNamespace} {
		if err := check(s); err != nil {
			return err
		}
	}
	return nil
}

func checkRootfs(s *brokerv1.UnitSpec) error {
	r := s.GetRootfs()
	image := r.GetKind() == brokerv1.Rootfs_KIND_IMAGE
	if _, ok := rootfsKinds[r.GetKind()]; !ok {
		return invalid("rootfs.kind", "is not known")
	}
	if !image && (r.GetImage() != "" || r.GetVerityRootHash() != "" || r.GetVeritySignature() != "") {
		return invalid("rootfs.image", "is for KIND_IMAGE only")
	}
	if h, err := hex.DecodeString(r.GetVerityRootHash()); err != nil || len(h) != 0 && (len(h) < 16 || len(h) > 64) {
		return invalid("rootfs.verity_root_hash", "is not a hash in hexadecimal")
	}
	if !image {
		return nil
	}
	if r.GetVerityRootHash() != "" && slices.ContainsFunc(s.GetDirectives(), func(d *brokerv1.Directive) bool { return d.GetName() == "PrivateIPC" }) {
		return invalid("directives", "PrivateIPC= cannot be set for an image with a root hash: systemd opens it in the host's IPC namespace only")
	}
	if r.GetVeritySignature() != "" {
		if r.GetVerityRootHash() == "" {
			return invalid("rootfs.verity_signature", "is of a root hash, which is not there")
		}
		if err := checkPath("rootfs.verity_signature", r.GetVeritySignature()); err != nil {
			return err
		}
	}
	return checkPath("rootfs.image", r.GetImage())
}

func checkDevices(s *brokerv1.UnitSpec) error {
	if n := len(s.GetDevices()); n > maxDevices {
		return invalid("devices", "there are %d, more than %d", n, maxDevices)
	}
	for _, d := range s.GetDevices() {
		if err := checkPath("devices.path", d.GetPath()); err != nil {
			return err
		}
		if p := d.GetPermissions(); p == "" || !accessPattern.MatchString(p) || !strings.HasPrefix(d.GetPath(), "/dev/") {
			return invalid("devices", "%s with %s is not a device below /dev with some of r, w, m, in this order", d.GetPath(), quote(p))
		}
	}
	return nil
}

func checkNetworkNamespace(s *brokerv1.UnitSpec) error {
	if s.GetNetworkNamespace() == "" {
		return nil
	}
	return checkPath("network_namespace", s.GetNetworkNamespace())
}

// addFiles puts what spec says of files into r.
func addFiles(r *policy.Request, s *brokerv1.UnitSpec) {
	r.Rootfs = policy.Rootfs{
		Kind: rootfsKinds[s.GetRootfs().GetKind()], Image: s.GetRootfs().GetImage(), RootHash: s.GetRootfs().GetVerityRootHash(),
		Signature: s.GetRootfs().GetVeritySignature(),
	}
	r.NetworkNamespace = s.GetNetworkNamespace()
	for _, d := range s.GetDevices() {
		r.Devices = append(r.Devices, policy.Device{Path: d.GetPath(), Permissions: d.GetPermissions()})
	}
}
