// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
)

// timeUnit is a unit of time in nanoseconds. The first that the text begins
// with is taken.
type timeUnit struct {
	suffix string
	nsec   uint64
}

const (
	nsecPerUsec = 1000
	nsecPerSec  = 1_000_000_000
	nsecPerDay  = 86400 * nsecPerSec
	nsecPerWeek = 7 * nsecPerDay
	nsecPerYear = 31557600 * nsecPerSec
)

// timeUnits are those of systemd.time(7), in the order of its parser.
var timeUnits = []timeUnit{
	{"seconds", nsecPerSec},
	{"second", nsecPerSec},
	{"sec", nsecPerSec},
	{"s", nsecPerSec},
	{"minutes", 60 * nsecPerSec},
	{"minute", 60 * nsecPerSec},
	{"min", 60 * nsecPerSec},
	{"months", nsecPerYear / 12},
	{"month", nsecPerYear / 12},
	{"M", nsecPerYear / 12},
	{"msec", 1_000_000},
	{"ms", 1_000_000},
	{"m", 60 * nsecPerSec},
	{"hours", 3600 * nsecPerSec},
	{"hour", 3600 * nsecPerSec},
	{"hr", 3600 * nsecPerSec},
	{"h", 3600 * nsecPerSec},
	{"days", nsecPerDay},
	{"day", nsecPerDay},
	{"d", nsecPerDay},
	{"weeks", nsecPerWeek},
	{"week", nsecPerWeek},
	{"w", nsecPerWeek},
	{"years", nsecPerYear},
	{"year", nsecPerYear},
	{"y", nsecPerYear},
	{"usec", nsecPerUsec},
	{"us", nsecPerUsec},
	{"µs", nsecPerUsec},
	{"μs", nsecPerUsec},
}

var nsecUnits = []timeUnit{{"nsec", 1}, {"ns", 1}}

// parseTime is a time span in multiples of precision, a number of nanoseconds;
// what has no unit counts in units of plain (parse_time in systemd's
// basic/time-util.c).
func parseTime(text string, plain, precision uint64, units []timeUnit) (uint64, error) {
	problem := errors.New(`is not a time span, such as 30s, "1min 30s" or infinity`)
	if text == "infinity" {
		return infinity, nil
	}
	var total uint64
	for rest := text; rest != ""; rest = strings.TrimLeft(rest, blank) {
		number, after := digits(rest)
		decimals, point := "", strings.HasPrefix(after, ".")
		if point {
			decimals, after = digits(after[1:])
		}
		if number == "" && !point || point && decimals == "" {
			return 0, problem
		}
		if number == "" {
			number = "0"
		}
		unit, left := unitOf(strings.TrimLeft(after, blank), plain, units)
		if left == after && left != "" {
			return 0, problem
		}
		whole, err := strconv.ParseUint(number, 10, 64)
		multiplier := unit / precision
		if err != nil || multiplier > 0 && whole >= infinity/multiplier {
			return 0, errors.New("is too long")
		}
		add := whole * multiplier
		for i, m := 0, multiplier/10; i < len(decimals); i, m = i+1, m/10 {
			add += uint64(decimals[i]-'0') * m
		}
		if total > math.MaxUint64-1-add {
			return 0, errors.New("is too long")
		}
		total, rest = total+add, left
	}
	return total, nil
}

func unitOf(s string, plain uint64, units []timeUnit) (nsec uint64, rest string) {
	for _, u := range units {
		if after, ok := strings.CutPrefix(s, u.suffix); ok {
			return u.nsec, after
		}
	}
	return plain, s
}

// parseSeconds is a time span in microseconds; a plain number counts seconds.
func parseSeconds(text string) (uint64, error) {
	return parseTime(text, nsecPerSec, nsecPerUsec, timeUnits)
}

// parseNanoseconds is a time span in nanoseconds, which a plain number counts.
func parseNanoseconds(text string) (uint64, error) {
	return parseTime(text, 1, 1, slices.Concat(nsecUnits, timeUnits))
}
