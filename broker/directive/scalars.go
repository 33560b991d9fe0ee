// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"fmt"
	"math"
	"regexp/syntax"
	"runtime"
	"slices"
	"strings"
)

// boolean is a yes or no that protects from nothing.
var boolean = single("a boolean: "+boolWords, "b", parseBool)

// protection is a boolean that takes rights away when it is true.
var protection = boolean.with(rising(func(s string) (grade, error) {
	b, err := parseBool(s)
	if b {
		return grade{1, "yes"}, err
	}
	return grade{0, "no"}, err
}, grade{0, "no"}, "turns the protection off"))

// integer is a number within bounds.
func integer(least, most int) format {
	return single(fmt.Sprintf("a number from %d to %d", least, most), "i", func(line string) (int32, error) {
		n, err := parseInt(line, least, most)
		return int32(n), err //nolint:gosec // within the bounds of the caller
	})
}

// upTo32 is a number of 32 bits.
var upTo32 = single("a number from 0 to 4294967295", "u", func(line string) (uint32, error) {
	n, err := parseUint(line, math.MaxUint32)
	return uint32(n), err
})

// mode is a file mode or mask of one.
var mode = single("an octal number up to 7777, as 0027", "u", parseMode)

// timespan is a time span that PID 1 keeps in microseconds.
var timespan = single(`a time span, as "90", "1min 30s" or "infinity", in whole milliseconds`, "t", parseMillis)

// text is a string that is written to the unit file as it is.
var text = single(`text without %, quotes and backslashes`, "s", func(line string) (string, error) {
	if strings.ContainsAny(line, `"'\`) {
		return "", errors.New("has a quote or backslash")
	}
	return line, nil
})

const labelCharacters = letters + digits + "._:/@+=,&-"

// label is a security label, with a "-" in front if it may be missing.
var label = single("a name of letters, digits and ._:/@+=,&- with a - in front if it may be missing on the host", "(bs)", func(line string) (struct {
	Ignore bool
	Label  string
}, error,
) {
	var v struct {
		Ignore bool
		Label  string
	}
	v.Label, v.Ignore = strings.CutPrefix(line, "-")
	if line != "" && (!onlyOf(v.Label, labelCharacters) || v.Label[0] == '-') {
		return v, errForm
	}
	return v, nil
})

// context is a SELinux context. The - of unit files in front of it is nothing to
// PID 1 over D-Bus, but is after a reload.
var context = single("a SELinux context of letters, digits and ._:/@+=,&-; empty for none", "s", func(line string) (string, error) {
	if line != "" && (!onlyOf(line, labelCharacters) || line[0] == '-') {
		return "", errForm
	}
	return line, nil
})

// personality is an execution domain of the processor this runs on.
var personality = func() format {
	domains := map[string][]string{"amd64": {"x86-64", "x86"}, "arm64": {"arm64", "arm"}}[runtime.GOARCH]
	return single("one of "+strings.Join(domains, ", "), "s", func(line string) (string, error) {
		if !slices.Contains(domains, line) {
			return "", unknown("architecture", line, slices.Values(domains))
		}
		return line, nil
	})
}()

// pattern is a regular expression for log messages.
type pattern struct {
	Allow   bool
	Pattern string
}

// patterns are regular expressions that both Perl and Go understand.
var patterns = list("a regular expression, with a ~ in front if it is to drop what it matches", "a(bs)", func(line string) ([]pattern, error) {
	expression, deny := strings.CutPrefix(line, "~")
	if _, err := syntax.Parse(expression, syntax.Perl); err != nil || expression == "" {
		return nil, errors.New("is not a regular expression")
	}
	return []pattern{{!deny, expression}}, nil
})

// keys are the keys of a map.
func keys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// higher is the order of numbers of which the higher one has less.
func higher(unset int) order {
	read := func(line string) (grade, error) {
		n, err := parseInt(line, -1000, 1000)
		return grade{rank: n}, err
	}
	return rising(read, grade{rank: unset}, "has more than what is set")
}

// umask is a mode of which more bits take more permissions away.
var umask = mode.with(shrinking(0o777&^0o022, func(_ uint32, line string) (uint32, error) {
	m, err := parseMode(line)
	return 0o7777 &^ m, err
}, func(before, after uint32) bool { return after&^before&0o777 == 0 }, "leaves more permissions"))

// nanos is a time span in nanoseconds.
var nanos = single(`a time span, as "50us" or in nanoseconds`, "t", nanoseconds.parse)
