// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"math"
	"strings"
)

// signal is a signal by name or number.
var signal = single("a signal, as SIGTERM, TERM, 15, RTMIN+3 or RTMAX-2", "i", func(line string) (int32, error) {
	n, err := parseSignal(line)
	return int32(n), err
})

// parseSignal reads a signal; real-time ones are counted as glibc does.
func parseSignal(s string) (int, error) {
	const rtmin, rtmax = 34, 64
	if onlyOf(s, digits) {
		n, err := parseInt(s, 1, rtmax)
		return n, err
	}
	name := strings.TrimPrefix(s, "SIG")
	if n, ok := signalNumbers[name]; ok {
		return n, nil
	}
	for _, end := range []struct {
		name, sign string
		at         int
	}{{"RTMIN", "+", rtmin}, {"RTMAX", "-", rtmax}} {
		offset, ok := strings.CutPrefix(name, end.name)
		if !ok {
			continue
		}
		if offset == "" {
			return end.at, nil
		}
		if !strings.HasPrefix(offset, end.sign) {
			return 0, errForm
		}
		n, err := parseInt(offset, rtmin-rtmax, rtmax-rtmin)
		return end.at + n, err
	}
	return 0, unknown("signal", s, keys(signalNumbers))
}

// errnoKill stands for no error at all, but killing the process.
const errnoKill = math.MaxInt32 - 1

// parseErrno reads an error by name or number, or "kill".
func parseErrno(s string) (int32, error) {
	if s == "kill" {
		return errnoKill, nil
	}
	if n, ok := errnoNumbers[s]; ok {
		return int32(n), nil //nolint:gosec // a small constant
	}
	if onlyOf(s, digits) {
		n, err := parseInt(s, 0, 4095)
		return int32(n), err //nolint:gosec // at most 4095
	}
	return 0, unknown("error", s, keys(errnoNumbers))
}

// errno is what a system call that is refused returns.
var errno = single("an error, as EPERM or 1, or kill", "i", func(line string) (int32, error) {
	if line == "" {
		return errnoKill, nil
	}
	n, err := parseErrno(line)
	if err == nil && n == 0 {
		err = errZero // unit files take it, PID 1 does not
	}
	return n, err
})
