// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"strings"
	"unicode"
)

// pattern is text in which "*" stands for any characters, none included.
type pattern string

// matches takes time that grows with the product of the two lengths at most.
func (p pattern) matches(s string) bool {
	first, more, star := strings.Cut(string(p), "*")
	if !star {
		return s == first
	}
	rest, ok := strings.CutPrefix(s, first)
	for ok {
		var part string
		if part, more, star = strings.Cut(more, "*"); !star {
			return strings.HasSuffix(rest, part)
		}
		_, rest, ok = strings.Cut(rest, part)
	}
	return false
}

// leavesPath reports whether s holds ".." as a part of a path, with which text
// after "/local/" would mean something else. Whatever is not usual in a name ends
// a part: arguments hold paths in many notations, such as --file=PATH.
func leavesPath(s string) bool {
	ends := func(r rune) bool {
		return r != '.' && r != '-' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}
	for part := range strings.FieldsFuncSeq(s, ends) {
		if part == ".." {
			return true
		}
	}
	return false
}

func anyMatches(patterns []pattern, s string) bool {
	for _, p := range patterns {
		if p.matches(s) {
			return true
		}
	}
	return false
}
