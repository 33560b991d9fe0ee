// SPDX-License-Identifier: MPL-2.0

package unit

import (
	"reflect"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/directive"
	"nomad-systemd-driver/broker/policy"
)

// TestNoUnitHasAnURing: what is forced fits to what a unit's own filters mean in all.
func TestNoUnitHasAnURing(t *testing.T) {
	allow, deny, reset := syscalls{true, []string{"@system-service"}}, syscalls{false, []string{"@mount"}}, syscalls{}
	for _, tt := range []struct {
		name    string
		filters []syscalls
		want    string
	}{
		{"none", nil, "io_uring_setup:ENOSYS"},
		{"what is denied", []syscalls{deny}, "io_uring_setup:ENOSYS"},
		{"what is allowed", []syscalls{allow}, "io_uring_setup"},
		{"what is allowed, less some", []syscalls{allow, deny}, "io_uring_setup"},
		{"what is denied, less some", []syscalls{deny, allow}, "io_uring_setup:ENOSYS"},
		{"what is allowed, taken back", []syscalls{allow, reset}, "io_uring_setup:ENOSYS"},
		{"what is denied, taken back", []syscalls{deny, reset, allow}, "io_uring_setup"},
	} {
		values := []Property{boolean("PrivateTmp", true)}
		for _, f := range tt.filters {
			values = append(values, Property{"SystemCallFilter", dbus.MakeVariant(f)})
		}
		got := noURing(values)
		if want := (syscalls{false, []string{tt.want}}); got.Name != "SystemCallFilter" || !reflect.DeepEqual(got.Value.Value(), want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, want)
		}
	}
}

// TestLogSocketsAreNotShown: by those versions of systemd that would.
func TestLogSocketsAreNotShown(t *testing.T) {
	for version, want := range map[int]bool{252: false, 256: false, 257: true, 300: true} {
		h := host
		h.Systemd = version
		u, err := From(decide(t, testPolicy(t), "testdata/minimal.json"), h)
		if err != nil {
			t.Fatal(err)
		}
		got := false
		for _, p := range u.Properties() {
			got = got || p.Name == "BindLogSockets" && p.Value.Value() == false
		}
		if got != want {
			t.Errorf("systemd %d: BindLogSockets=no is set: %v, want %v", version, got, want)
		}
	}
}

// TestArgumentsAreLiteral: what systemd expands an argument to is what was sent.
func TestArgumentsAreLiteral(t *testing.T) {
	for arg, want := range map[string]string{"": "", "a": "a", "$": "$$", "$HOME": "$$HOME", "${HOME}": "$${HOME}", "a$$b": "a$$$$b", "%h": "%h"} {
		if got := literal(arg); got != want {
			t.Errorf("%q: got %q, want %q", arg, got, want)
		}
	}
}

// TestSharedMemoryIsTheUnitsOwn: unless something else is to be there, as whoever asked
// for it wants it.
func TestSharedMemoryIsTheUnitsOwn(t *testing.T) {
	temporary := func(lines ...string) []Property {
		d, _ := directive.Lookup("TemporaryFileSystem")
		values, err := d.Parse(lines)
		if err != nil {
			t.Fatal(err)
		}
		var all []Property
		for _, v := range values {
			all = append(all, Property{v.Name, v.Value})
		}
		return all
	}
	for _, tt := range []struct {
		name    string
		values  []Property
		volumes []policy.Volume
		want    int
	}{
		{"nothing else", []Property{boolean("PrivateTmp", true)}, nil, 1},
		{"a file system elsewhere", temporary("/var", ""), nil, 1},
		{"one of another size", temporary("/var /dev/shm:size=1G"), nil, 0},
		{"one that is taken back", append(temporary("/dev/shm:size=1G"), temporary("")...), nil, 1},
		{"one that is taken back, and another", append(temporary("/dev/shm", ""), temporary("/dev/shm")...), nil, 0},
		{"a volume", nil, []policy.Volume{{Destination: "/dev/shm"}}, 0},
	} {
		got, err := ownSharedMemory(&policy.Request{Volumes: tt.volumes}, tt.values)
		if err != nil || len(got) != tt.want {
			t.Errorf("%s: got %v, %v", tt.name, got, err)
		}
		// A list of another type than the job's could not be compared with PID 1's.
		if got = append(tt.values, got...); len(got) > 0 && len(Differences(got, nil)) == 0 {
			t.Errorf("%s: nothing is compared", tt.name)
		}
	}
}

// TestImageWithARootHashIsOpenedInTheHostsIPC, whatever the profile says: the start would
// wait for udev in vain.
func TestImageWithARootHashIsOpenedInTheHostsIPC(t *testing.T) {
	d := decide(t, testPolicy(t), "testdata/minimal.json")
	for hash, want := range map[string]bool{"": true, strings.Repeat("0a", 32): false} {
		h := host
		h.Image, h.RootHash = "/staged/6", hash
		u, err := From(d, h)
		if err != nil {
			t.Fatal(err)
		}
		var own bool
		for _, p := range u.properties {
			if p.Name == "PrivateIPC" {
				own, _ = p.Value.Value().(bool)
			}
		}
		if own != want {
			t.Errorf("with hash %q PrivateIPC=%t, want %t", hash, own, want)
		}
	}
}
