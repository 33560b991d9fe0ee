// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// infinity is "no limit" to systemd, CGROUP_LIMIT_MAX and RLIM_INFINITY.
const infinity = math.MaxUint64

const blank = " \t"

// parseInt is a whole number from least to most.
func parseInt(least, most int32) func(string) (int32, error) {
	return func(text string) (int32, error) {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || int32(n) < least || int32(n) > most {
			return 0, fmt.Errorf("is not a whole number from %d to %d", least, most)
		}
		return int32(n), nil
	}
}

// parseUint is a whole number from least to most.
func parseUint(least, most uint64) func(string) (uint64, error) {
	return func(text string) (uint64, error) {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("is not a whole number from %d to %d", least, most)
		}
		return n, nil
	}
}

// parseOctal is a mode of at most most.
func parseOctal(most uint32) func(string) (uint32, error) {
	return func(text string) (uint32, error) {
		n, err := strconv.ParseUint(text, 8, 32)
		if err != nil || uint32(n) > most {
			return 0, fmt.Errorf("is not an octal mode from 0000 to %04o", most)
		}
		return uint32(n), nil
	}
}

// digits splits the decimal number off the start of s.
func digits(s string) (number, rest string) {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return s[:n], s[n:]
}

var sizeSuffixes = []string{"E", "P", "T", "G", "M", "K", "B", ""}

// parseSize is a number of bytes with suffixes that stand for powers of base,
// such as 1.5G or "1G 512M" (parse_size in systemd's basic/parse-util.c).
func parseSize(base float64) func(string) (uint64, error) {
	return func(text string) (uint64, error) {
		problem := errors.New("is not a size, such as 512M or 1.5G, or infinity")
		var total uint64
		rest, first := text, 0
		for {
			number, after := digits(strings.TrimLeft(rest, blank))
			whole, err := strconv.ParseUint(number, 10, 64)
			if err != nil {
				return 0, problem
			}
			fraction := 0.0
			if strings.HasPrefix(after, ".") {
				var part string
				part, after = digits(after[1:])
				if fraction, err = strconv.ParseFloat("0."+part+"0", 64); err != nil {
					return 0, problem
				}
			}
			after = strings.TrimLeft(after, blank)
			i := first
			for i < len(sizeSuffixes) && !strings.HasPrefix(after, sizeSuffixes[i]) {
				i++
			}
			if i == len(sizeSuffixes) {
				return 0, problem
			}
			factor := math.Pow(base, float64(max(0, 6-i)))
			n := uint64(fraction * factor)
			if float64(whole) > (math.MaxUint64-factor)/factor || total+whole*uint64(factor)+n < total {
				return 0, errors.New("is too large")
			}
			total += whole*uint64(factor) + n
			rest, first = after[len(sizeSuffixes[i]):], i+1
			if rest == "" {
				return total, nil
			}
		}
	}
}

// sizeLimit is a size or infinity.
func sizeLimit(base float64) func(string) (uint64, error) {
	return func(text string) (uint64, error) {
		if text == "infinity" {
			return infinity, nil
		}
		n, err := parseSize(base)(text)
		if n == infinity {
			return 0, errors.New("is too large; write infinity for no limit")
		}
		return n, err
	}
}

// memory is a size, a percentage of the host's memory, or infinity.
func memory(bus string) parser {
	return func(lines []string) ([]Value, error) {
		text := lines[len(lines)-1]
		if strings.HasSuffix(text, "%") {
			n, err := parsePercent(100)(text)
			if err != nil {
				return nil, err
			}
			return only(bus+"Scale", scale(n)), nil
		}
		return scalar(bus, sizeLimit(1024))(lines)
	}
}

// scale is permyriad as systemd keeps it: 2³²-1 is all.
func scale(permyriad uint64) uint32 {
	return uint32(permyriad * math.MaxUint32 / 10000) //nolint:gosec // at most 100%
}

// parsePercent is a percentage with at most two decimals, times 100.
func parsePercent(most uint64) func(string) (uint64, error) {
	return func(text string) (uint64, error) {
		problem := fmt.Errorf("is not a percentage up to %d%%, such as 20%%", most)
		number, ok := strings.CutSuffix(text, "%")
		whole, decimals, dot := strings.Cut(number, ".")
		if !ok || dot && (decimals == "" || len(decimals) > 2) {
			return 0, problem
		}
		n, err := strconv.ParseUint(whole+(decimals + "00")[:2], 10, 32)
		if err != nil || whole == "" || n > most*100 {
			return 0, problem
		}
		return n, nil
	}
}

// cpuQuota is a share of one CPU's time, in microseconds of each second.
func cpuQuota(text string) (uint64, error) {
	n, err := parsePercent(1000000)(text)
	if err == nil && n == 0 {
		err = errors.New("must be more than 0%")
	}
	return n * 100, err
}

// percentScale is a percentage as systemd keeps it.
func percentScale(text string) (uint32, error) {
	n, err := parsePercent(100)(text)
	return scale(n), err
}
