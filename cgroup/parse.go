// SPDX-License-Identifier: MPL-2.0

package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// CPU is cpu.stat. Times are in microseconds. Without the cpu controller there
// are only the three times of use.
type CPU struct {
	Usage, User, System               Count
	Periods, Throttled, ThrottledTime Count
}

func (c *CPU) parse(b []byte) error {
	return lines(b, func(key, rest []byte) error {
		switch string(key) {
		case "usage_usec":
			return c.Usage.first(rest)
		case "user_usec":
			return c.User.first(rest)
		case "system_usec":
			return c.System.first(rest)
		case "nr_periods":
			return c.Periods.first(rest)
		case "nr_throttled":
			return c.Throttled.first(rest)
		case "throttled_usec":
			return c.ThrottledTime.first(rest)
		}
		return nil
	})
}

// Memory is the files of the memory controller. All are in bytes.
type Memory struct {
	Current, Peak, Swap Count // files of their own

	Anon, File, Kernel, FileMapped Count // of memory.stat
}

func (m *Memory) parse(b []byte) error {
	return lines(b, func(key, rest []byte) error {
		switch string(key) {
		case "anon":
			return m.Anon.first(rest)
		case "file":
			return m.File.first(rest)
		case "kernel": // since Linux 5.18
			return m.Kernel.first(rest)
		case "file_mapped":
			return m.FileMapped.first(rest)
		}
		return nil
	})
}

// IO is io.stat, summed over all devices: what goes through a device that lies
// on another one counts at both, as in the kernel's own sums.
type IO struct {
	ReadBytes, WriteBytes, ReadOps, WriteOps Count
}

func (io *IO) parse(b []byte) error {
	// The file of a group that did no input and output is empty.
	io.ReadBytes.OK, io.WriteBytes.OK, io.ReadOps.OK, io.WriteOps.OK = true, true, true, true
	return lines(b, func(_, rest []byte) error {
		for field := range bytes.FieldsSeq(rest) {
			key, value, ok := bytes.Cut(field, []byte("="))
			if !ok {
				continue
			}
			var err error
			switch string(key) {
			case "rbytes":
				err = io.ReadBytes.add(key, value)
			case "wbytes":
				err = io.WriteBytes.add(key, value)
			case "rios":
				err = io.ReadOps.add(key, value)
			case "wios":
				err = io.WriteOps.add(key, value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Pressure is how much of the time tasks of a group had to wait for a resource:
// some of them, or all at once.
type Pressure struct{ Some, Full Stall }

// Stall is one line of pressure.
type Stall struct {
	Avg10 float64 // percent of the last ten seconds
	Total uint64  // microseconds
	OK    bool    // the kernel has it
}

func (p *Pressure) parse(b []byte) error {
	return lines(b, func(key, rest []byte) error {
		switch string(key) {
		case "some":
			return p.Some.parse(rest)
		case "full": // for processors since Linux 5.13
			return p.Full.parse(rest)
		}
		return nil
	})
}

func (s *Stall) parse(b []byte) error {
	var avg, total bool
	for field := range bytes.FieldsSeq(b) {
		key, value, _ := bytes.Cut(field, []byte("="))
		switch string(key) {
		case "avg10":
			f, err := strconv.ParseFloat(string(value), 64)
			if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || f < 0 {
				return fmt.Errorf("avg10: %q is not a percentage", value)
			}
			s.Avg10, avg = f, true
		case "total":
			n, ok := number(value)
			if !ok {
				return fmt.Errorf("total: %q is not a number", value)
			}
			s.Total, total = n, true
		}
	}
	s.OK = avg && total
	return nil
}

// parse reads a file that holds one number.
func (c *Count) parse(b []byte) error { return c.first(b) }

// first takes over the first number of rest; what a later kernel may add behind
// it is not for us.
func (c *Count) first(rest []byte) error {
	for field := range bytes.FieldsSeq(rest) {
		n, ok := number(field)
		if !ok {
			return fmt.Errorf("%q is not a number", field)
		}
		*c = Count{n, true}
		return nil
	}
	return errors.New("there is no number")
}

func (c *Count) add(key, value []byte) error {
	n, ok := number(value)
	if !ok || c.N+n < n {
		return fmt.Errorf("%s: %q is not a number that can be added to %d", key, value, c.N)
	}
	c.N += n
	return nil
}

// lines passes on each line's first word and what is behind it.
func lines(b []byte, each func(key, rest []byte) error) error {
	for line := range bytes.Lines(b) {
		line = bytes.TrimSpace(line)
		key, rest, _ := bytes.Cut(line, []byte(" "))
		if len(key) == 0 {
			continue
		}
		if err := each(key, rest); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// number is strconv.ParseUint without a string to be made first.
func number(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		digit := uint64(c - '0')
		if c < '0' || c > '9' || n > (math.MaxUint64-digit)/10 {
			return 0, false
		}
		n = 10*n + digit
	}
	return n, len(b) != 0
}
