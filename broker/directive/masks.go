// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// everyCapability is a bounding set that nothing was taken from.
const everyCapability uint64 = math.MaxUint64

// knownCapabilities are those that have a name; at a reload PID 1 drops others.
const knownCapabilities uint64 = 1<<41 - 1

func capability(name string) (uint64, error) {
	n, ok := capabilityNumbers[strings.ToUpper(name)]
	if !ok || !onlyOf(name, letters+"_") {
		return 0, unknown("capability", name, keys(capabilityNumbers))
	}
	return 1 << n, nil
}

// capabilities is a set of capabilities; whole is what it is if nothing is
// written.
func capabilities(whole uint64) format {
	step := func(set uint64, line string) (uint64, error) {
		line, invert := strings.CutPrefix(line, "~")
		names, err := words(line)
		if err != nil {
			return 0, err
		}
		var sum uint64
		for _, name := range names {
			bit, err := capability(name)
			if err != nil {
				return 0, err
			}
			sum |= bit
		}
		switch {
		case (sum == 0 || set == whole) && invert:
			return ^sum, nil
		case sum == 0 || set == whole:
			return sum, nil
		case invert:
			return set &^ sum, nil
		}
		return set | sum, nil
	}
	return fold("names as CAP_NET_BIND_SERVICE, with a ~ in front of the first for all but these; empty for none", "t",
		whole, step, func(set uint64) uint64 { return set & knownCapabilities }).
		with(shrinking(whole, step, subset, "adds capabilities"))
}

func subset(before, after uint64) bool { return after&^before == 0 }

// namespaces are the CLONE_NEW* flags of the kinds systemd knows.
var namespaces = map[string]uint64{
	"cgroup": 0x02000000, "ipc": 0x08000000, "net": 0x40000000, "mnt": 0x00020000,
	"pid": 0x20000000, "user": 0x10000000, "uts": 0x04000000,
}

const (
	allNamespaces = 0x7e020000
	noRestriction = math.MaxUint64
)

// addNamespaces changes the set of namespaces the program may make.
func addNamespaces(set uint64, line string) (uint64, error) {
	if line == "" {
		return noRestriction, nil
	}
	if b, err := parseBool(line); err == nil {
		if b {
			return 0, nil
		}
		return allNamespaces, nil
	}
	line, deny := strings.CutPrefix(line, "~")
	kinds, err := words(line)
	if err != nil {
		return 0, err
	}
	if len(kinds) == 0 {
		return 0, errForm
	}
	var flags uint64
	for _, kind := range kinds {
		flag, ok := namespaces[kind]
		if !ok {
			return 0, unknown("kind of namespace", kind, keys(namespaces))
		}
		flags |= flag
	}
	switch {
	case deny:
		return set & allNamespaces &^ flags, nil
	case set == noRestriction:
		return flags, nil
	}
	return set | flags, nil
}

var restrictNamespaces = fold("a boolean; or the kinds that are allowed, of cgroup, ipc, net, mnt, pid, user and uts, with a ~ in front of the first for those that are not", "t",
	noRestriction, addNamespaces, func(set uint64) uint64 { return set & allNamespaces }).
	with(shrinking(noRestriction, addNamespaces, subset, "allows more kinds of namespaces"))

// coredumpKinds are bits of /proc/PID/coredump_filter, core(5).
var coredumpKinds = map[string]uint64{
	"private-anonymous": 1 << 0, "shared-anonymous": 1 << 1, "private-file-backed": 1 << 2,
	"shared-file-backed": 1 << 3, "elf-headers": 1 << 4, "private-huge": 1 << 5, "shared-huge": 1 << 6,
	"private-dax": 1 << 7, "shared-dax": 1 << 8, "default": 0x33, "all": math.MaxUint32,
}

var coredumpFilter = fold("kinds of memory, as private-anonymous, elf-headers, default and all; or a hexadecimal mask", "t", 0,
	func(set uint64, line string) (uint64, error) {
		kinds, err := words(line)
		if err == nil && len(kinds) == 0 {
			err = errEmpty
		}
		if err != nil {
			return 0, err
		}
		for _, kind := range kinds {
			bits, ok := coredumpKinds[kind]
			if !ok {
				if bits, err = strconv.ParseUint(strings.TrimPrefix(kind, "0x"), 16, 32); err != nil {
					return 0, unknown("kind of memory", kind, keys(coredumpKinds))
				}
			}
			set |= bits
		}
		return set, nil
	}, func(set uint64) uint64 { return set })

var secureBitFlags = map[string]int32{
	"noroot": 1 << 0, "noroot-locked": 1 << 1, "no-setuid-fixup": 1 << 2, "no-setuid-fixup-locked": 1 << 3,
	"keep-caps": 1 << 4, "keep-caps-locked": 1 << 5,
}

var secureBits = single("of keep-caps, keep-caps-locked, no-setuid-fixup, no-setuid-fixup-locked, noroot and noroot-locked; empty for none", "i", func(line string) (int32, error) {
	names, err := words(line)
	var set int32
	for _, name := range names {
		flag, ok := secureBitFlags[name]
		if !ok {
			return 0, unknown("secure bit", name, keys(secureBitFlags))
		}
		set |= flag
	}
	return set, err
})

var errWeight = errors.New("is not a weight")

// weight is 1 to 10000, or with idle the word of that name.
func weight(idle bool) format {
	accepts := "a number from 1 to 10000; empty for the default"
	if idle {
		accepts += "; or idle"
	}
	return single(accepts, "t", func(line string) (uint64, error) {
		switch {
		case line == "":
			return infinity, nil
		case idle && line == "idle":
			return 0, nil
		}
		n, err := parseUint(line, 10000)
		if err != nil || n == 0 {
			return 0, fmt.Errorf("%w", errWeight)
		}
		return n, nil
	}).with(weightOrder)
}
