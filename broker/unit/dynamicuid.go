// SPDX-License-Identifier: MPL-2.0

package unit

import (
	"encoding/binary"
	"math/bits"
)

// The uids that systemd allocates for DynamicUser= (systemd's uid-alloc-range.h,
// and docs/UIDS-GIDS.md).
const (
	dynamicMin, dynamicMax = 61184, 65519
	// DynamicUIDs is how many there are, DynamicRange which, for people.
	DynamicUIDs  = dynamicMax - dynamicMin + 1
	DynamicRange = "61184 to 65519"
)

// dynamicKey is hash_key of pick_uid in systemd's core/dynamic-user.c: 16 bytes,
// as two little endian numbers.
const dynamicKey0, dynamicKey1 uint64 = 0xf548cecf317e5337, 0x59ecd98d5739bb8a

// DynamicUID is the uid that systemd tries first for a dynamic user of this name.
// It takes another one, at random, if somebody has this one.
func DynamicUID(name string) uint32 {
	return uint32(sipHash([]byte(name)))%DynamicUIDs + dynamicMin //nolint:gosec // G115: systemd cuts it as well
}

// IsDynamicUID reports whether uid is one of those.
func IsDynamicUID(uid uint32) bool { return uid >= dynamicMin && uid <= dynamicMax }

// sipHash is SipHash-2-4 under systemd's key.
func sipHash(text []byte) uint64 {
	v := [4]uint64{
		dynamicKey0 ^ 0x736f6d6570736575, dynamicKey1 ^ 0x646f72616e646f6d,
		dynamicKey0 ^ 0x6c7967656e657261, dynamicKey1 ^ 0x7465646279746573,
	}
	rounds := func(n int) {
		for range n {
			v[0] += v[1]
			v[2] += v[3]
			v[1], v[3] = bits.RotateLeft64(v[1], 13)^v[0], bits.RotateLeft64(v[3], 16)^v[2]
			v[0] = bits.RotateLeft64(v[0], 32) + v[3]
			v[2] += v[1]
			v[1], v[3] = bits.RotateLeft64(v[1], 17)^v[2], bits.RotateLeft64(v[3], 21)^v[0]
			v[2] = bits.RotateLeft64(v[2], 32)
		}
	}
	var last [8]byte
	last[7] = byte(len(text)) //nolint:gosec // G115: SipHash takes the length modulo 256
	for ; len(text) >= 8; text = text[8:] {
		word := binary.LittleEndian.Uint64(text)
		v[3] ^= word
		rounds(2)
		v[0] ^= word
	}
	copy(last[:7], text)
	word := binary.LittleEndian.Uint64(last[:])
	v[3] ^= word
	rounds(2)
	v[0] ^= word
	v[2] ^= 0xff
	rounds(4)
	return v[0] ^ v[1] ^ v[2] ^ v[3]
}
