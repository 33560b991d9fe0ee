// SPDX-License-Identifier: MPL-2.0

package unit

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

const (
	suffix = ".service"
	// maxWord bounds one word of a unit's name, so that four words, the prefix
	// and the unique part always stay below systemd's limit of 255 bytes
	// (UNIT_NAME_MAX in systemd's basic/unit-def.h) and nothing is cut off the
	// part that makes the name unique.
	maxWord = 48
)

// Name composes the name of a client's unit: prefix, the words people look for,
// and a part that is derived from the client's id, so that the same request
// always gives the same name and two requests never share one.
//
// The result holds only [A-Za-z0-9_-] and ".service", which no part of systemd
// escapes or reads as a template, a specifier or a path.
func Name(prefix string, words []string, id string) string {
	parts := []string{prefix}
	for _, w := range words {
		if w = clean(w); w != "" {
			parts = append(parts, w)
		}
	}
	return strings.Join(append(parts, unique(id)), "-") + suffix
}

// DynamicUserName is one of the names under which systemd can allocate the ephemeral
// uid of a unit (DynamicUser= in systemd.exec(5)). It differs for each id: units
// with the same name would share a uid. The salt chooses among the names of one id,
// and thereby among uids, see [DynamicUID]; an id has no zero byte.
func DynamicUserName(prefix, id string, salt int) string {
	if salt > 0 {
		id += "\x00" + strconv.Itoa(salt)
	}
	return clean(prefix) + "-" + unique(id)
}

// unique is 64 bits of the id's hash: enough that no two living units of a
// host ever meet, short enough to be read.
func unique(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:8])
}

// clean replaces each byte that is not a letter, a digit or "_" by "_", so
// that "-" separates words and nothing else.
func clean(word string) string {
	if len(word) > maxWord {
		word = word[:maxWord]
	}
	out := []byte(word)
	for i, b := range out {
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '_':
		default:
			out[i] = '_'
		}
	}
	return string(out)
}
