// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// filter is (bas) on D-Bus: a list of what is allowed, or of what is not.
type filter struct {
	Allow bool
	Names []string
}

// filterRules are what differs between the directives that are filters.
type filterRules struct {
	accepts string
	// check reports the first systemd that knows the name.
	check func(name string, allow bool) (since int, err error)
	// none is a word that allows nothing at all; empty if there is none.
	none string
	// open says that a list from which all names were taken restricts nothing.
	open bool
	// same are further names of some names.
	same map[string]string
}

// parse makes each line one value: whether a line adds or takes away depends on
// the first one, and PID 1 keeps that account itself.
func (r filterRules) parse(d *Directive, lines []string) ([]Value, error) {
	var values []Value
	for _, line := range lines {
		if line == "" {
			values = []Value{value(d.Name, filter{false, []string{}})}
			continue
		}
		if r.none != "" && line == r.none {
			values = []Value{value(d.Name, filter{true, []string{}})}
			continue
		}
		f, since, err := r.line(line)
		if err != nil {
			return nil, d.fail(line, err.Error())
		}
		values = append(values, Value{Name: d.Name, Value: dbus.MakeVariant(f), Since: since})
	}
	return values, nil
}

func (r filterRules) line(line string) (f filter, since int, err error) {
	line, deny := strings.CutPrefix(line, "~")
	f.Allow = !deny
	if f.Names, err = words(line); err != nil {
		return f, 0, err
	}
	if len(f.Names) == 0 {
		return f, 0, errForm
	}
	for i, name := range f.Names {
		s, err := r.check(name, f.Allow)
		if err != nil {
			return f, 0, err
		}
		since = newest(since, s)
		if other, ok := r.same[name]; ok {
			f.Names[i] = other
		}
	}
	return f, since, nil
}

func (r filterRules) format() format {
	return format{accepts: r.accepts, signature: "(bas)", parse: r.parse}
}

// filterState is the account PID 1 keeps of the lines of a filter.
type filterState struct {
	allow bool
	names []string // nil: nothing is restricted, or with none everything
	none  bool
}

func (r filterRules) step(s filterState, line string) (filterState, error) {
	switch {
	case line == "":
		return filterState{}, nil
	case r.none != "" && line == r.none:
		return filterState{allow: true, none: true}, nil
	}
	f, _, err := r.line(line)
	if err != nil {
		return s, err
	}
	// Also after none the next line begins anew: "~AF_UNIX" then allows all others.
	if s.names == nil {
		return filterState{allow: f.Allow, names: f.Names}, nil
	}
	names := slices.Clone(s.names)
	for _, name := range f.Names {
		names = slices.DeleteFunc(names, func(n string) bool { return n == name })
		if f.Allow == s.allow {
			names = append(names, name)
		}
	}
	if r.open && len(names) == 0 {
		return filterState{}, nil
	}
	return filterState{allow: s.allow, names: names}, nil
}

// within reports whether after allows nothing that before did not.
func within(before, after filterState) bool {
	in := func(list []string) func(string) bool {
		return func(name string) bool { return slices.Contains(list, name) }
	}
	missing := func(from, list []string) bool {
		return slices.ContainsFunc(from, func(n string) bool { return !in(list)(n) })
	}
	switch {
	case before.names == nil && !before.none, after.none:
		return true
	case after.names == nil:
		return false
	case before.allow && after.allow:
		return !missing(after.names, before.names)
	case before.allow:
		return false
	case after.allow:
		return !slices.ContainsFunc(after.names, in(before.names))
	}
	return !missing(before.names, after.names)
}

// filtered is the order of filters whose names have nothing to do with each other.
func filtered(r filterRules) format {
	return r.format().with(shrinking(filterState{}, r.step, within, "allows more"))
}

var restrictAddressFamilies = filtered(filterRules{
	accepts: "none; or families as AF_INET, with a ~ in front of the first for all but these",
	none:    "none",
	same:    map[string]string{"AF_LOCAL": "AF_UNIX", "AF_FILE": "AF_UNIX", "AF_ROUTE": "AF_NETLINK"},
	check: func(name string, _ bool) (int, error) {
		if families := strings.Fields(addressFamilies); !slices.Contains(families, name) {
			return 0, unknown("address family", name, slices.Values(families))
		}
		return 0, nil
	},
})

var restrictNetworkInterfaces = interfaces.format().with(shrinking(filterState{}, interfaces.step,
	func(before, after filterState) bool {
		// One interface can have several names: what a list of the allowed ones
		// has may be what a list of the others has under another name.
		if before.names != nil && before.allow != after.allow {
			return false
		}
		return within(before, after)
	}, "allows more"))

var interfaces = filterRules{
	accepts: "names of network interfaces, with a ~ in front of the first for all but these",
	open:    true,
	check: func(name string, _ bool) (int, error) {
		const longest = 15 // IFNAMSIZ; PID 1 drops a longer one without a word
		if !onlyOf(name, letters+digits+"._@+-") || onlyOf(name, digits) || len(name) > longest ||
			slices.Contains([]string{".", "..", "all", "default"}, name) {
			return 0, fmt.Errorf("has %q, which is not a name of a network interface", name)
		}
		return 0, nil
	},
}

// restrictFileSystems has groups, which overlap: only what is added to a list
// of what is not allowed certainly allows less.
var restrictFileSystems = filterRules{
	accepts: "types of file systems and groups as @network, with a ~ in front of the first for all but these",
	check:   known("file system", fileSystemNames),
}.format().with(onlyDeny)

var systemCallLog = filterRules{
	accepts: "system calls and groups as @network-io, with a ~ in front of the first for all but these",
	check:   known("system call", syscallNames),
}.format()

var systemCallFilter = filterRules{
	accepts: `system calls and groups as @network-io, with a ~ in front of the first to deny them and allow all others; a denied one may have an error, as "~mount:EPERM"`,
	check:   checkSyscall,
}.format().with(onlyDeny)

func checkSyscall(name string, allow bool) (int, error) {
	name, number, hasErrno := strings.Cut(name, ":")
	if hasErrno {
		if allow {
			return 0, errors.New("has an error for a system call that is allowed")
		}
		if _, err := parseErrno(number); err != nil {
			return 0, err
		}
	}
	return known("system call", syscallNames)(name, allow)
}

func known(kind string, names map[string]int) func(string, bool) (int, error) {
	return func(name string, _ bool) (int, error) {
		since, ok := names[name]
		if !ok {
			return 0, unknown(kind, name, keys(names))
		}
		return since, nil
	}
}

// architectures are those that libseccomp and both systemd 252 and 257 know.
const architectures = `native x86 x86-64 x32 arm arm64 mips mips64 mips64-n32 mips-le mips64-le mips64-le-n32
parisc parisc64 ppc ppc64 ppc64-le riscv64 s390 s390x`

var systemCallArchitectures = list("names as native, x86-64 and arm64", "as", func(line string) ([]string, error) {
	names, err := words(line)
	if err != nil {
		return nil, err
	}
	all := strings.Fields(architectures)
	for _, name := range names {
		if !slices.Contains(all, name) {
			return nil, unknown("architecture", name, slices.Values(all))
		}
	}
	return names, nil
}).with(shrinking(filterState{}, func(s filterState, line string) (filterState, error) {
	if line == "" {
		return filterState{}, nil
	}
	return filterState{allow: true, names: slices.Concat(s.names, strings.Fields(line))}, nil
}, within, "allows more architectures"))
