// SPDX-License-Identifier: MPL-2.0

package unit

import "testing"

// TestSipHash is the example of the paper: the bytes 0 to 14 under the key 0 to 15.
func TestSipHash(t *testing.T) {
	in := make([]byte, 15)
	for i := range in {
		in[i] = byte(i)
	}
	got := siphash24([2]uint64{0x0706050403020100, 0x0f0e0d0c0b0a0908}, string(in))
	if got != 0xa129ca6149be45e5 {
		t.Errorf("got %#x", got)
	}
}

func TestDynamicUIDIsOfTheRange(t *testing.T) {
	for _, id := range []string{"a", "b", "c", "d"} {
		if uid := DynamicUID(DynamicUserName("nomad", id)); uid < firstDynamicUID || uid > lastDynamicUID {
			t.Errorf("%s has uid %d", id, uid)
		}
	}
}
