// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// infinity is no limit, of whatever is limited.
const infinity uint64 = math.MaxUint64

var (
	errBool = errors.New("is not a boolean")
	errSize = errors.New("is not a size")
)

const boolWords = "yes, no, true, false, on, off, y, n, t, f, 1, 0"

// parseBool reads a boolean, in any case.
func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) { // letters beyond ASCII do not become these
	case "1", "yes", "y", "true", "t", "on":
		return true, nil
	case "0", "no", "n", "false", "f", "off":
		return false, nil
	}
	return false, errBool
}

// parseUint reads a decimal number. systemd takes hexadecimal and octal ones as
// well; here a leading zero is an error, lest somebody mean a decimal.
func parseUint(s string, most uint64) (uint64, error) {
	if !onlyOf(s, digits) || len(s) > 1 && s[0] == '0' {
		return 0, errors.New("is not a decimal number")
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > most {
		return 0, fmt.Errorf("is more than %d", most)
	}
	return n, nil
}

// parseInt reads a decimal number with or without a sign.
func parseInt(s string, least, most int) (int, error) {
	number, negative := strings.CutPrefix(s, "-")
	if !negative {
		number = strings.TrimPrefix(s, "+")
	}
	n, err := parseUint(number, math.MaxInt32)
	if err != nil {
		return 0, err
	}
	i := int(n) //nolint:gosec // at most MaxInt32
	if negative {
		i = -i
	}
	if i < least || i > most {
		return 0, fmt.Errorf("is not from %d to %d", least, most)
	}
	return i, nil
}

// parseMode reads an octal file mode.
func parseMode(s string) (uint32, error) {
	if !onlyOf(s, "01234567") {
		return 0, errors.New("is not an octal number")
	}
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o7777 {
		return 0, errRange
	}
	return uint32(n), nil
}

// parseSize reads a size with the suffixes B to E, which are powers of base
// (1024 or 1000): several numbers with ever smaller suffixes add up.
func parseSize(s string, base uint64) (uint64, error) {
	const suffixes = "EPTGMKB"
	var sum uint64
	allowed := suffixes + "1" // 1 stands for no suffix
	for rest := s; ; {
		whole, fraction, after, err := parseDecimal(strings.TrimLeft(rest, " "))
		if err != nil {
			return 0, err
		}
		rest = strings.TrimLeft(after, " ")
		i := strings.IndexByte(allowed, '1')
		if rest != "" {
			if j := strings.IndexByte(allowed[:i], rest[0]); j >= 0 {
				i, rest = j, rest[1:]
			}
		}
		if i < 0 {
			return 0, errSize
		}
		factor := uint64(1)
		for range max(0, strings.IndexByte(allowed, 'B')-i) {
			factor *= base
		}
		if whole >= math.MaxUint64/factor {
			return 0, errRange
		}
		n := whole*factor + uint64(fraction*float64(factor))
		if n > math.MaxUint64-sum {
			return 0, errRange
		}
		sum += n
		if rest == "" {
			return sum, nil
		}
		// What follows must have a smaller suffix.
		if allowed = allowed[i+1:]; !strings.Contains(allowed, "1") {
			return 0, errSize
		}
	}
}

// parseDecimal reads digits with or without a fraction from the start of s.
func parseDecimal(s string) (whole uint64, fraction float64, rest string, err error) {
	head := s[:len(s)-len(strings.TrimLeft(s, digits))]
	if head == "" {
		return 0, 0, "", errSize
	}
	whole, err = strconv.ParseUint(head, 10, 64)
	if err != nil {
		return 0, 0, "", errRange
	}
	rest = s[len(head):]
	if after, ok := strings.CutPrefix(rest, "."); ok {
		rest = strings.TrimLeft(after, digits)
		if places := after[:len(after)-len(rest)]; places != "" {
			n, err := strconv.ParseUint(places, 10, 64)
			if err != nil {
				return 0, 0, "", errRange
			}
			fraction = float64(n)
			for range places {
				fraction /= 10
			}
		}
	}
	return whole, fraction, rest, nil
}

// parsePermyriad reads a percentage with up to two places, or one in ‰ or ‱,
// as ten-thousandths.
func parsePermyriad(s string) (int, error) {
	bad := errors.New("is not a percentage")
	places := 2
	number, ok := strings.CutSuffix(s, "%")
	if !ok {
		if number, ok = strings.CutSuffix(s, "‰"); ok {
			places = 1
		} else if number, ok = strings.CutSuffix(s, "‱"); ok {
			places = 0
		} else {
			return 0, bad
		}
	}
	whole, fraction, dot := strings.Cut(number, ".")
	if dot && (!onlyOf(fraction, digits) || len(fraction) > places) {
		return 0, bad
	}
	if !onlyOf(whole, digits) || len(whole) > 1 && whole[0] == '0' {
		return 0, bad
	}
	n, err := strconv.ParseUint(whole+fraction+strings.Repeat("0", places-len(fraction)), 10, 64)
	if err != nil || n > math.MaxInt32 {
		return 0, errRange
	}
	return int(n), nil
}

// parseShare is a percentage up to 100 %.
func parseShare(s string) (int, error) {
	n, err := parsePermyriad(s)
	if err == nil && n > 10000 {
		err = errors.New("is more than 100%")
	}
	return n, err
}

// scaled is a share as PID 1 takes it: of 2^32-1, rounded.
func scaled(permyriad int) uint32 {
	return uint32((uint64(permyriad)*math.MaxUint32 + 5000) / 10000) //nolint:gosec // at most 10000
}
