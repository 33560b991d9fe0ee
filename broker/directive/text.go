// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxValue bounds one value. PID 1 stops reading a unit file at a line of 1 MiB.
const maxValue = 16 << 10

// textProblem says what keeps a value from a unit file; empty if nothing does.
// A line break would start another directive, a backslash at the end swallow it.
func textProblem(value string) string {
	switch {
	case len(value) > maxValue:
		return fmt.Sprintf("has %d bytes, more than %d", len(value), maxValue)
	case !utf8.ValidString(value):
		return "is not valid UTF-8"
	case strings.HasSuffix(strings.TrimRight(value, " "), `\`):
		return `ends in a backslash, which would join it with the next line of the unit file`
	}
	for _, r := range value {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return fmt.Sprintf("has the control character %U", r)
		}
		if r != ' ' && unicode.IsSpace(r) {
			return fmt.Sprintf("has the space %U, which is none to systemd", r)
		}
	}
	return ""
}

// words splits a line as systemd does, but takes no quotes and escapes, which
// nothing that is listed here needs.
func words(line string) ([]string, error) {
	if i := strings.IndexAny(line, `"'\`); i >= 0 {
		return nil, fmt.Errorf("has a %c; quotes and escapes are not taken", line[i])
	}
	return strings.FieldsFunc(line, func(r rune) bool { return r == ' ' }), nil
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

const digits = "0123456789"

// onlyOf reports whether s has characters of set only, and at least one.
func onlyOf(s, set string) bool { return s != "" && strings.Trim(s, set) == "" }

var errPath = errors.New("is not an absolute path of letters, digits and ._@+=,-/ without . and .. parts")

// checkPath accepts a path that means the same in a unit file, quoted or not.
func checkPath(p string) error {
	if !strings.HasPrefix(p, "/") || !onlyOf(p, letters+digits+"._@+=,-/") || path.Clean(p) != p || len(p) >= 4096 {
		return errPath
	}
	return nil
}

// checkDevice accepts a path of a device. PID 1 looks it up as root, so it must
// be where root alone makes files.
func checkDevice(p string) error {
	rest, ok := strings.CutPrefix(p, "/dev/")
	if !ok || !onlyOf(rest, letters+digits+"._@+=,-/:") || path.Clean(p) != p || len(p) >= 4096 {
		return fmt.Errorf("does not name a device by a path in /dev")
	}
	return nil
}
