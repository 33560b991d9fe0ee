// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// plain is text that cannot change the meaning of a line it is written to.
func plain(s string) bool {
	return utf8.ValidString(s) && !strings.HasSuffix(s, `\`) &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || r == 0x2028 || r == 0x2029 })
}

// envValue is what systemd takes as the value of a variable; it drops other
// values with a log line only (env_value_is_valid in systemd's basic/env-util.c).
func envValue(s string) bool {
	return utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return (r < 0x20 && r != '\t' && r != '\n') || r == 0x7f })
}

// quote shows a client's text in a message, on one line and not too long.
func quote(s string) string {
	const most = 128
	if len(s) > most {
		return fmt.Sprintf("%q (and %d more bytes)", s[:most], len(s)-most)
	}
	return fmt.Sprintf("%q", s)
}
