// SPDX-License-Identifier: MPL-2.0

package unit

import (
	"encoding/binary"
	"math/bits"
)

// The uids of DynamicUser=, as every distribution builds systemd
// (systemd.io/UIDS-GIDS).
const (
	firstDynamicUID = 61184
	lastDynamicUID  = 65519
)

// dynamicUserKey is the key of systemd's hash (core/dynamic-user.c).
var dynamicUserKey = [2]uint64{0xf548cecf317e5337, 0x59ecd98d5739bb8a}

// DynamicUID is the uid, and gid, that systemd allocates for the name of an
// ephemeral user if nobody has it: it is derived from the name alone.
func DynamicUID(name string) uint32 {
	return uint32(siphash24(dynamicUserKey, name))%(lastDynamicUID-firstDynamicUID+1) + firstDynamicUID //nolint:gosec // the lower half, as systemd
}

// siphash24 is SipHash-2-4 of Aumasson and Bernstein.
func siphash24(key [2]uint64, s string) uint64 {
	v := [4]uint64{
		key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
		key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573,
	}
	rounds := func(n int) {
		for range n {
			v[0], v[2] = v[0]+v[1], v[2]+v[3]
			v[1], v[3] = bits.RotateLeft64(v[1], 13)^v[0], bits.RotateLeft64(v[3], 16)^v[2]
			v[0] = bits.RotateLeft64(v[0], 32)
			v[2], v[0] = v[2]+v[1], v[0]+v[3]
			v[1], v[3] = bits.RotateLeft64(v[1], 17)^v[2], bits.RotateLeft64(v[3], 21)^v[0]
			v[2] = bits.RotateLeft64(v[2], 32)
		}
	}
	word := func(m uint64) {
		v[3] ^= m
		rounds(2)
		v[0] ^= m
	}
	b := []byte(s)
	for ; len(b) >= 8; b = b[8:] {
		word(binary.LittleEndian.Uint64(b))
	}
	var last [8]byte
	copy(last[:], b)
	last[7] = byte(len(s)) //nolint:gosec // its lower byte
	word(binary.LittleEndian.Uint64(last[:]))
	v[2] ^= 0xff
	rounds(4)
	return v[0] ^ v[1] ^ v[2] ^ v[3]
}
