// SPDX-License-Identifier: MPL-2.0

package unit

import "testing"

// TestDynamicUIDIsTheOneOfSystemd: the uids are those that systemd 252 and 257
// gave.
func TestDynamicUIDIsTheOneOfSystemd(t *testing.T) {
	for name, want := range map[string]uint32{
		"nomad-0011223344556677": 63192,
	} {
		if got := DynamicUID(name); got != want {
			t.Errorf("DynamicUID(%q) = %d, want %d", name, got, want)
		}
	}
}

func TestDynamicUIDStaysInSystemdsRange(t *testing.T) {
	for n := range 10000 {
		name := DynamicUserName("nomad", string(rune(n)), 0)
		if got := DynamicUID(name); got < dynamicMin || got > dynamicMax {
			t.Fatalf("DynamicUID(%q) = %d", name, got)
		}
	}
}
