// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// Class says what a directive could do in the wrong hands.
type Class string

// The classes. Of the closed ones, which no policy can open, no directive is
// offered at all.
const (
	Safe      Class = "safe"      // takes rights from the program, or is harmless
	Resource  Class = "resource"  // what the program takes from others on the host
	Identity  Class = "identity"  // users, groups, capabilities and labels
	Network   Class = "network"   // reaches more of the network
	HostPath  Class = "hostpath"  // files and devices of the host
	Lifecycle Class = "lifecycle" // closed: how PID 1 starts and stops the unit
	Manager   Class = "manager"   // closed: other units and the host itself
	Code      Class = "code"      // closed: runs or mounts something as root
)

// Classes are all classes, from the least to the most dangerous.
func Classes() []Class {
	return []Class{Safe, Resource, Priority, Identity, Network, HostPath, Lifecycle, Manager, Code}
}

// Bus is a D-Bus property a directive sets.
type Bus struct {
	Name      string `json:"name"`
	Signature string `json:"signature"`
}

// Directive is one directive of a unit file.
type Directive struct {
	Name    string // as in a unit file, "ProtectHome"
	Group   string // exec, cgroup, kill, service or unit
	Buses   []Bus  // the properties its values are spread over
	Since   int    // the first systemd that takes it; 0 if that is 252 or older
	Class   Class
	Live    bool   // can be changed while the unit runs
	Summary string // one line
	Refused string // why no policy can offer it; empty if one can

	format format
}

// Offered reports whether a policy can offer the directive.
func (d *Directive) Offered() bool { return d.Refused == "" }

// Accepts says what values the directive takes; empty for a refused one.
func (d *Directive) Accepts() string { return d.format.accepts }

// Value is a property to set over D-Bus.
type Value struct {
	Name  string
	Value dbus.Variant
	// Since is the first systemd that takes this value of the property, if that
	// is newer than the directive; 0 otherwise.
	Since int
}

// all is the table, sorted by name.
var all = table()

var byName = func() map[string]*Directive {
	m := make(map[string]*Directive, len(all))
	for _, d := range all {
		m[d.Name] = d
	}
	return m
}()

func table() []*Directive {
	var t []*Directive
	for _, group := range []struct {
		name string
		rows [][]*Directive
	}{
		{"exec", execRows},
		{"cgroup", cgroupRows},
		{"kill", killRows},
		{"service", serviceRows},
		{"unit", unitRows},
	} {
		for _, rows := range group.rows {
			for _, d := range rows {
				d.Group = group.name
				if d.Buses == nil && d.format.signature != "" {
					d.Buses = []Bus{{d.Name, d.format.signature}}
				}
				t = append(t, d)
			}
		}
	}
	slices.SortFunc(t, func(a, b *Directive) int { return strings.Compare(a.Name, b.Name) })
	return t
}

// All are all directives, sorted by name. They must not be changed.
func All() []*Directive { return slices.Clone(all) }

// Lookup finds a directive by its name, which is case-sensitive as in unit files.
func Lookup(name string) (*Directive, bool) {
	d, ok := byName[name]
	return d, ok
}

// Parse reads the values of a directive as systemd reads the lines of a unit
// file that set it, in order: of most directives the last one counts; those of
// a list directive accumulate, and an empty one drops what came before.
//
// The result is to be sent in order, after what a profile or default set. It
// begins with an empty list if a value resets the directive. The error is an
// [*Error].
func (d *Directive) Parse(values []string) ([]Value, error) {
	if !d.Offered() {
		return nil, &Error{Directive: d.Name, Problem: "is refused: " + d.Refused}
	}
	lines, err := d.lines(values)
	if err != nil {
		return nil, err
	}
	return d.format.parse(d, lines)
}

// lines checks the values as text and trims them as the reader of unit files does.
func (d *Directive) lines(values []string) ([]string, error) {
	lines := make([]string, 0, len(values))
	for _, value := range values {
		if problem := textProblem(value); problem != "" {
			return nil, d.fail(value, problem)
		}
		line := strings.Trim(value, " ")
		if !d.format.percent && strings.Contains(line, "%") {
			return nil, d.fail(value, "has a %, which starts a specifier in unit files; specifiers are not expanded")
		}
		lines = append(lines, line)
	}
	return lines, nil
}
