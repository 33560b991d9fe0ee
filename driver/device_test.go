// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

func TestDiskOfAPartition(t *testing.T) {
	sys := t.TempDir()
	for name, text := range map[string]string{
		"devices/vda/uevent": "MAJOR=254\nMINOR=0\nDEVNAME=vda\n", "devices/vda/vda1/uevent": "DEVNAME=vda1\n", "devices/vda/vda1/partition": "1\n",
		"devices/odd/uevent": "MAJOR=7\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(sys, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sys, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"254:0": "devices/vda", "254:1": "devices/vda/vda1", "7:0": "devices/odd"} {
		if err := os.Symlink(to, filepath.Join(sys, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		major, minor uint32
		want         string
	}{{254, 0, "/dev/vda"}, {254, 1, "/dev/vda"}, {7, 0, ""}, {0, 31, ""}} {
		if got, err := disk(sys, tt.major, tt.minor); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%d:%d: got %q, %v, want %q", tt.major, tt.minor, got, err, tt.want)
		}
	}
}

// TestDirectoryInsteadOfADevice: what is no directory of the task is for the broker to
// judge.
func TestDirectoryInsteadOfADevice(t *testing.T) {
	spec := &brokerv1.UnitSpec{
		Directories: &brokerv1.Directories{Local: "/proc", Alloc: "/proc/none"},
		Directives: []*brokerv1.Directive{
			{Name: "IOReadBandwidthMax", Values: []string{"/dev/vda 1M", "/srv 1M", "/localx 2M"}},
			{Name: "ReadOnlyPaths", Values: []string{"/local /alloc"}},
		},
	}
	if err := nameDevices(spec); err != nil {
		t.Error(err)
	}
	if got := spec.GetDirectives()[0].GetValues(); got[1] != "/srv 1M" || got[2] != "/localx 2M" || spec.GetDirectives()[1].GetValues()[0] != "/local /alloc" {
		t.Errorf("got %v", spec)
	}
	for _, dir := range []string{"/local", "/alloc"} {
		spec.Directives[0].Values = []string{dir + " 10M"}
		err := nameDevices(spec)
		if err == nil || !strings.Contains(err.Error(), "IOReadBandwidthMax: cannot tell on which device "+dir+" lies") || !strings.Contains(err.Error(), `"/dev/sda 10M"`) {
			t.Errorf("%s, which is not on a disk: %v", dir, err)
		}
	}
}
