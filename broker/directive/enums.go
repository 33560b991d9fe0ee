// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"fmt"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// option is one of the values of an enum. Of two values, the one of the higher
// rank allows less; those of the same rank cannot be compared. The first one is
// systemd's default.
type option struct {
	name  string
	rank  int
	since int
}

// enum is one of a few words, as a string.
func enum(options ...option) format { return enumAs("", false, options) }

// enumBool is an enum of which the options "yes" and "no" may be written as
// any boolean.
func enumBool(options ...option) format { return enumAs("", true, options) }

// enumEx is a boolean property that newer systemds accompany with a property
// for more values, whose name ends in Ex.
func enumEx(options ...option) format {
	f := enumAs("Ex", true, options)
	f.signature = ""
	return f
}

func enumAs(suffix string, booleans bool, options []option) format {
	var names []string
	for _, o := range options {
		name := o.name
		if o.since > 0 {
			name += fmt.Sprintf(" (systemd %d)", o.since)
		}
		names = append(names, name)
	}
	accepts := "one of " + strings.Join(names, ", ")
	if booleans {
		accepts += "; or a boolean"
	}
	find := func(line string) (option, error) { return findOption(line, booleans, options) }
	f := scalar(accepts, "s", func(name, line string) ([]Value, error) {
		o, err := find(line)
		if err != nil {
			return nil, err
		}
		if suffix != "" && (o.name == "yes" || o.name == "no") {
			return []Value{value(name, o.name == "yes")}, nil
		}
		return []Value{{Name: name + suffix, Value: dbus.MakeVariant(o.name), Since: o.since}}, nil
	})
	return f.with(rising(func(line string) (grade, error) {
		o, err := find(line)
		return grade{o.rank, o.name}, err
	}, grade{options[0].rank, options[0].name}, "is weaker"))
}

func findOption(line string, booleans bool, options []option) (option, error) {
	name := line
	if booleans {
		if b, err := parseBool(line); err == nil {
			name = map[bool]string{true: "yes", false: "no"}[b]
		}
	}
	for _, o := range options {
		if o.name == name {
			return o, nil
		}
	}
	return option{}, unknown("value", line, func(yield func(string) bool) {
		for _, o := range options {
			if !yield(o.name) {
				return
			}
		}
	})
}

// numbered is one of a few words that stand for numbers.
func numbered(numbers map[string]int32) format {
	names := make([]string, 0, len(numbers))
	for name := range numbers {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(numbers[a] - numbers[b]) })
	return single("one of "+strings.Join(names, ", "), "i", func(line string) (int32, error) {
		if n, ok := numbers[line]; ok {
			return n, nil
		}
		return 0, unknown("value", line, slices.Values(names))
	})
}

var logLevel = numbered(map[string]int32{
	"emerg": 0, "alert": 1, "crit": 2, "err": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7,
})

// facility has only those that do not pass for the host's own log messages.
var facility = numbered(map[string]int32{
	"user": 1, "daemon": 3, "local0": 16, "local1": 17, "local2": 18, "local3": 19,
	"local4": 20, "local5": 21, "local6": 22, "local7": 23,
})

// graded is a numbered of which a higher grade allows less.
func graded(numbers map[string]int32, grades map[string]int, unset string) format {
	f := numbered(numbers)
	return f.with(rising(func(line string) (grade, error) {
		return grade{grades[line], line}, nil
	}, grade{grades[unset], unset}, "has more than what is set"))
}

var (
	schedulingPolicy = graded(map[string]int32{"other": 0, "fifo": 1, "rr": 2, "batch": 3, "idle": 5},
		map[string]int{"fifo": 0, "rr": 0, "other": 1, "batch": 2, "idle": 3}, "other")
	ioClass = graded(map[string]int32{"none": 0, "realtime": 1, "best-effort": 2, "idle": 3},
		map[string]int{"realtime": 0, "none": 1, "best-effort": 2, "idle": 3}, "best-effort")
	numaPolicy = numbered(map[string]int32{"default": 0, "preferred": 1, "bind": 2, "interleave": 3, "local": 4})
	oomMode    = enum(option{name: "auto"}, option{name: "kill", rank: 1})
)
