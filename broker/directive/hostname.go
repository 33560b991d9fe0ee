// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"strings"
)

// hostnameEx is ProtectHostnameEx= on D-Bus, (ss): who may set the host name, and
// what it is at first.
type hostnameEx struct{ Mode, Name string }

// hostnameSince is the first systemd that has ProtectHostnameEx=.
const hostnameSince = 258

// hostname is a boolean, or from hostnameSince on a mode with a name.
var hostname = scalar(
	"a boolean; or (systemd 258) private, as which the unit can set a name that only it sees, and yes or private with the name, as yes:web-1",
	"", func(name, line string) ([]Value, error) {
		if b, err := parseBool(line); err == nil {
			return []Value{value(name, b)}, nil
		}
		mode, host, named := strings.Cut(line, ":")
		if mode != "private" && (mode != "yes" || !named) {
			return nil, errors.New(`is not a boolean, "private", or "yes" or "private" with a name`)
		}
		if named && !isHostname(host) {
			return nil, errors.New("has a name that is no host name: labels of a-z, A-Z, 0-9 and - with dots between them, at most 64 characters")
		}
		v := value(name+"Ex", hostnameEx{mode, host})
		v.Since = hostnameSince
		return []Value{v}, nil
	},
).with(rising(hostnameGrade, grade{0, "no"}, "is weaker"))

// hostnameGrade leaves the name free: it is no protection.
func hostnameGrade(line string) (grade, error) {
	if b, err := parseBool(line); err == nil {
		line = map[bool]string{true: "yes", false: "no"}[b]
	}
	mode, _, _ := strings.Cut(line, ":")
	return grade{map[string]int{"no": 0, "private": 1, "yes": 2}[mode], mode}, nil
}

func isHostname(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if !onlyOf(label, letters+digits+"-") || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
	}
	return len(name) <= 64
}
