// SPDX-License-Identifier: MPL-2.0

// Package unitpath maps unit names to the D-Bus object paths of systemd's units
// and back.
package unitpath

import (
	"strings"

	"github.com/godbus/dbus/v5"
)

// prefix of every unit's object path, org.freedesktop.systemd1(5).
const prefix = "/org/freedesktop/systemd1/unit/"

const hexDigits = "0123456789abcdef"

// Of returns the object path of a unit. Every byte outside [A-Za-z0-9], and a
// digit in the first place, becomes "_" and two hexadecimal digits; the empty
// name becomes "_". It is systemd's bus_label_escape().
func Of(unit string) dbus.ObjectPath {
	var b strings.Builder
	b.WriteString(prefix)
	if unit == "" {
		b.WriteByte('_')
	}
	for i := range len(unit) {
		c := unit[i]
		if isLetter(c) || i > 0 && isDigit(c) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('_')
		b.WriteByte(hexDigits[c>>4])
		b.WriteByte(hexDigits[c&15])
	}
	return dbus.ObjectPath(b.String())
}

// Unit returns the name of the unit a path stands for. It accepts only what
// [Of] makes, so that no two paths stand for one unit.
func Unit(path dbus.ObjectPath) (string, bool) {
	label, ok := strings.CutPrefix(string(path), prefix)
	if !ok {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(label) && label != "_"; i++ {
		if label[i] != '_' {
			b.WriteByte(label[i])
			continue
		}
		if i+2 >= len(label) {
			return "", false
		}
		high := strings.IndexByte(hexDigits, label[i+1])
		low := strings.IndexByte(hexDigits, label[i+2])
		if high < 0 || low < 0 {
			return "", false
		}
		b.WriteByte(byte(high<<4 | low)) //nolint:gosec // G115: two hexadecimal digits
		i += 2
	}
	return b.String(), Of(b.String()) == path
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
