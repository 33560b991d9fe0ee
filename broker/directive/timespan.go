// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Time units in microseconds; a month and a year are those of systemd.time(7).
const (
	usec        = 1
	msec        = 1000 * usec
	sec         = 1000 * msec
	minute      = 60 * sec
	hour        = 60 * minute
	day         = 24 * hour
	week        = 7 * day
	month       = 2629800 * sec
	year        = 31557600 * sec
	nsecPerUsec = 1000
)

// timeUnits are in the order in which they are tried.
var timeUnits = []struct {
	name string
	usec uint64
}{
	{"seconds", sec},
	{"second", sec},
	{"sec", sec},
	{"s", sec},
	{"minutes", minute},
	{"minute", minute},
	{"min", minute},
	{"months", month},
	{"month", month},
	{"M", month},
	{"msec", msec},
	{"ms", msec},
	{"m", minute},
	{"hours", hour},
	{"hour", hour},
	{"hr", hour},
	{"h", hour},
	{"days", day},
	{"day", day},
	{"d", day},
	{"weeks", week},
	{"week", week},
	{"w", week},
	{"years", year},
	{"year", year},
	{"y", year},
	{"usec", usec},
	{"us", usec},
	{"μs", usec},
	{"µs", usec},
}

var errTime = errors.New("is not a time span")

// clock is what a time span is counted in.
type clock struct {
	perUsec uint64 // of the result, in a microsecond
	bare    uint64 // a number without a unit
}

var (
	seconds      = clock{1, sec}
	microseconds = clock{1, usec}
	nanoseconds  = clock{nsecPerUsec, 1}
)

func (c clock) unit(s string) (multiplier uint64, rest string) {
	for _, u := range timeUnits {
		if rest, ok := strings.CutPrefix(s, u.name); ok {
			return u.usec * c.perUsec, rest
		}
	}
	if c.perUsec == nsecPerUsec {
		for _, name := range []string{"nsec", "ns"} {
			if rest, ok := strings.CutPrefix(s, name); ok {
				return 1, rest
			}
		}
	}
	return c.bare, s
}

// parse reads a time span, "1h 30min" or "infinity".
func (c clock) parse(s string) (uint64, error) {
	if s = strings.Trim(s, " "); s == "infinity" {
		return infinity, nil
	}
	if s == "" {
		return 0, errTime
	}
	var sum uint64
	for rest := s; rest != ""; rest = strings.TrimLeft(rest, " ") {
		n, after, err := c.parseOne(rest)
		if err != nil {
			return 0, err
		}
		if n >= infinity-sum {
			return 0, errRange
		}
		sum += n
		rest = after
	}
	return sum, nil
}

// parseOne reads a number, its fraction and its unit.
func (c clock) parseOne(s string) (n uint64, rest string, err error) {
	whole := s[:len(s)-len(strings.TrimLeft(s, digits))]
	rest = s[len(whole):]
	fraction := ""
	if after, ok := strings.CutPrefix(rest, "."); ok {
		rest = strings.TrimLeft(after, digits)
		if fraction = after[:len(after)-len(rest)]; fraction == "" {
			return 0, "", errTime
		}
	} else if whole == "" {
		return 0, "", errTime
	}
	var units uint64
	if whole != "" {
		if units, err = strconv.ParseUint(whole, 10, 63); err != nil {
			return 0, "", errRange
		}
	}
	spaced := strings.TrimLeft(rest, " ")
	multiplier, after := c.unit(spaced)
	if len(after) == len(rest) && after != "" {
		return 0, "", errTime // 12.34.56
	}
	if units >= math.MaxUint64/multiplier {
		return 0, "", errRange
	}
	n = units * multiplier
	for m, i := multiplier/10, 0; i < len(fraction); i, m = i+1, m/10 {
		n += uint64(fraction[i]-'0') * m
	}
	return n, after, nil
}

// parseMillis is a time span that survives a reload: PID 1 writes those in
// microseconds down to whole milliseconds.
func parseMillis(s string) (uint64, error) {
	n, err := seconds.parse(s)
	if err == nil && n != infinity && n%msec != 0 {
		err = errors.New("has a part of a millisecond; systemd keeps whole ones only")
	}
	return n, err
}
