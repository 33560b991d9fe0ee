// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"slices"
	"strings"
)

// cpuSet is a set of CPUs or memory nodes; nil is none written, so all.
type cpuSet []uint32

const mostCPUs = 8192

// parseCPUs reads "0-3,5 7".
func parseCPUs(line string) (cpuSet, error) {
	fields, err := words(strings.ReplaceAll(line, ",", " "))
	if err != nil {
		return nil, err
	}
	var set cpuSet
	for _, field := range fields {
		first, last, isRange := strings.Cut(field, "-")
		if !isRange {
			last = first
		}
		a, err := parseUint(first, mostCPUs-1)
		if err != nil {
			return nil, err
		}
		b, err := parseUint(last, mostCPUs-1)
		if err != nil {
			return nil, err
		}
		if a > b {
			return nil, errOrder
		}
		for ; a <= b; a++ {
			set = append(set, uint32(a)) //nolint:gosec // below mostCPUs
		}
	}
	slices.Sort(set)
	return slices.Compact(set), nil
}

// addCPUs is one line more of a set; an empty one drops what came before.
func addCPUs(set cpuSet, line string) (cpuSet, error) {
	if line == "" {
		return nil, nil
	}
	more, err := parseCPUs(line)
	if err != nil {
		return nil, err
	}
	if len(more) == 0 {
		return nil, errForm
	}
	all := slices.Concat(set, more)
	slices.Sort(all)
	return slices.Compact(all), nil
}

// mask is the set as PID 1 takes it: a little endian bit mask.
func (s cpuSet) mask() []byte {
	if len(s) == 0 {
		return []byte{}
	}
	mask := make([]byte, s[len(s)-1]/8+1)
	for _, n := range s {
		mask[n/8] |= 1 << (n % 8)
	}
	return mask
}

const acceptsCPUs = `numbers and ranges, as "0-3,5 7", below 8192`

var cpus = fold(acceptsCPUs, "ay", nil, addCPUs, cpuSet.mask).with(shrinking(nil, addCPUs, func(before, after cpuSet) bool {
	if before == nil || after == nil {
		return before == nil
	}
	return !slices.ContainsFunc(after, func(n uint32) bool { return !slices.Contains(before, n) })
}, "is not within the set"))

// affinity is a set of CPUs, or "numa" for those of the memory nodes.
var affinity = func() format {
	f := cpus
	f.accepts += "; or numa"
	f.signature = ""
	f.parse = func(d *Directive, lines []string) ([]Value, error) {
		if n := len(lines); n > 0 && lines[n-1] == "numa" {
			return []Value{value("CPUAffinityFromNUMA", true)}, nil
		}
		// What came before a numa is dropped with it.
		return cpus.parse(d, lines[slices.Index(lines, "numa")+1:])
	}
	f.order = same
	return f
}()
