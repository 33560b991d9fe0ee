// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"regexp"
	"strings"
	"testing"
)

func TestPattern(t *testing.T) {
	for _, row := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"a", "a", true},
		{"a", "ab", false},
		{"*", "", true},
		{"*", "a/b c", true},
		{"a*", "a", true},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"*.py", "x.pyc", false},
		{"[a]?", "a", false},
		{"ab*bc", "abc", false},
	} {
		if got := pattern(row.pattern).matches(row.text); got != row.want {
			t.Errorf("%q matches %q: %v, want %v", row.pattern, row.text, got, row.want)
		}
	}
}

func TestLeavesPath(t *testing.T) {
	for text, want := range map[string]bool{
		"/local/../x": true, "..": true, "--in=../x": true, "a:/b/..": true, "x,../y": true, "'../y'": true,
		"/local/..x": false, "a..b": false, "...": false, "/local/x": false, "": false,
	} {
		if got := leavesPath(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// FuzzPattern compares patterns with regular expressions.
func FuzzPattern(f *testing.F) {
	f.Add("a*b", "axb")
	f.Add("*a*", "bab")
	f.Fuzz(func(t *testing.T, p, text string) {
		parts := strings.Split(p, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		re, err := regexp.Compile(`(?s)\A` + strings.Join(parts, ".*") + `\z`)
		if err != nil || strings.ToValidUTF8(p+text, "") != p+text {
			return
		}
		if got, want := pattern(p).matches(text), re.MatchString(text); got != want {
			t.Errorf("%q matches %q: %v, want %v", p, text, got, want)
		}
	})
}
