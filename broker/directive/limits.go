// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// rlimit is a resource limit, one value for both or soft:hard
// (rlimit_parse in systemd's basic/rlimit-util.c).
func rlimit(name string, read func(string) (uint64, error)) parser {
	return func(lines []string) ([]Value, error) {
		text := lines[len(lines)-1]
		if text == "" {
			return nil, nil
		}
		first, second, two := strings.Cut(text, ":")
		soft, err := orInfinity(first, read)
		if err != nil {
			return nil, err
		}
		hard := soft
		if two {
			if hard, err = orInfinity(second, read); err != nil {
				return nil, err
			}
		}
		if soft > hard {
			return nil, fmt.Errorf("has a soft limit above the hard one; write soft:hard")
		}
		return []Value{value(name, hard), value(name+"Soft", soft)}, nil
	}
}

func orInfinity(text string, read func(string) (uint64, error)) (uint64, error) {
	if text == "infinity" {
		return infinity, nil
	}
	return read(text)
}

// limitSeconds is a limit of time, in whole seconds, rounded up.
func limitSeconds(text string) (uint64, error) {
	n, err := parseSeconds(text)
	if err != nil || n == infinity {
		return n, err
	}
	return (n + 999_999) / 1_000_000, nil
}

// limitMicroseconds is a limit of time, of which a plain number counts
// microseconds.
func limitMicroseconds(text string) (uint64, error) {
	return parseTime(text, nsecPerUsec, nsecPerUsec, timeUnits)
}

// limitNice is RLIMIT_NICE: a nice level with its sign, or the raw limit, which
// is 20 minus the level.
func limitNice(text string) (uint64, error) {
	problem := errors.New("is neither a nice level with its sign, +19 to -20, nor a raw limit, 1 to 40")
	if text == "" || text[0] != '+' && text[0] != '-' {
		n, err := strconv.ParseUint(text, 10, 8)
		if err != nil || n < 1 || n > 40 {
			return 0, problem
		}
		return n, nil
	}
	n, err := strconv.ParseInt(text, 10, 8)
	if err != nil || n < -20 || n > 19 {
		return 0, problem
	}
	return uint64(20 - n), nil
}
