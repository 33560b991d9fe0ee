// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/godbus/dbus/v5"
)

// Class is what a directive puts at risk. Policy allows directives by class.
type Class string

// The classes. Directives of the last five are refused, but for few.
const (
	// Safe directives can only take from the unit, or change what is its own.
	Safe Class = "safe"
	// Resource directives limit or share out what the unit may use.
	Resource Class = "resource"
	// Priority directives put the unit before others: memory that nobody else
	// gets, real time, locked memory, escape from the OOM killer.
	Priority Class = "priority"
	// Identity directives change what the kernel takes the unit for.
	Identity Class = "identity"
	// Network directives open what another directive has closed.
	Network Class = "network"
	// HostPath directives show the unit something of the host, or make PID 1
	// open a path as root.
	HostPath Class = "hostpath"
	// Code directives run other programs, or this one on files that somebody
	// else made.
	Code Class = "code"
	// Lifecycle directives change when a unit starts, ends and is started again.
	Lifecycle Class = "lifecycle"
	// Manager directives change other units or PID 1 itself.
	Manager Class = "manager"
)

// Classes are all classes.
var Classes = []Class{Safe, Resource, Priority, Identity, Network, HostPath, Code, Lifecycle, Manager}

// Bus is a D-Bus property of org.freedesktop.systemd1 that a directive sets.
type Bus struct{ Name, Signature string }

// Directive is one directive of a unit file.
type Directive struct {
	Name  string
	Buses []Bus
	// Since is the first systemd whose transient units take it, 0 if all that
	// are supported do.
	Since int
	Class Class
	// Live tells that it can be changed while the unit runs.
	Live    bool
	Summary string
	// Needs is what systemd must be built with, as "systemctl --version" shows it
	// (+SECCOMP); without it PID 1 ignores the directive. Empty for none.
	Needs string
	// Refused is why no policy can allow it, empty if one can.
	Refused string

	parse parser
	// raises tells whether a value is of class Priority, whatever Class says.
	raises func(string) bool
	// exceptionOf is the directive without which this one changes nothing.
	exceptionOf string
	// tighter tells whether lines that come after others only take away; see
	// Tightens.
	tighter func(d *Directive, base, next []string) bool
}

// Value is one property as PID 1 takes it.
type Value struct {
	// Directive is the name of the directive.
	Directive string
	// Name is that of the property.
	Name  string
	Value dbus.Variant
	// Since is the first systemd that knows this value, 0 if all that are
	// supported do.
	Since int
	// Needs is that of the directive.
	Needs string
}

// Error is a value that is not one.
type Error struct {
	Directive, Value string
	// Problem says what is wrong with it and what is accepted.
	Problem string
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s %s", e.Directive, printable(e.Value), e.Problem)
}

// printable is a value for a message: quoted, and not too long.
func printable(s string) string {
	const most = 80
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	end := most
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return fmt.Sprintf("%q…", s[:end])
}

// All returns all directives, sorted by name.
func All() []*Directive { return slices.Clone(table) }

// Lookup returns the directive with this name.
func Lookup(name string) (*Directive, bool) {
	i, ok := slices.BinarySearchFunc(table, name, func(d *Directive, name string) int { return strings.Compare(d.Name, name) })
	if !ok {
		return nil, false
	}
	return table[i], true
}

// ExceptionOf is the directive from which this one makes exceptions: where that is
// not set, it changes nothing.
func (d *Directive) ExceptionOf() (string, bool) { return d.exceptionOf, d.exceptionOf != "" }

// ClassOf is the class of the directive with these lines, which may be above
// that of the directive: Nice=-5 is of class Priority.
func (d *Directive) ClassOf(lines []string) Class {
	if d.raises != nil && slices.ContainsFunc(lines, d.raises) {
		return Priority
	}
	return d.Class
}

// maxLine bounds one line; PID 1 cannot read a unit back that has one of 1 MiB
// (LONG_LINE_MAX in systemd's basic/fileio.h).
const maxLine = 16 << 10

// Parse reads the lines of a unit file, each what stands after "Name=", in their
// order. As there, a list grows with each line and an empty line empties it; of
// what is not a list the last line counts, and an empty one stands for the
// default. It returns what to send to PID 1, in this order, which is nothing for
// the default. The error is an [*Error].
func (d *Directive) Parse(lines []string) ([]Value, error) {
	if d.Refused != "" {
		return nil, &Error{d.Name, strings.Join(lines, " "), "cannot be set: " + d.Refused}
	}
	clean := make([]string, len(lines))
	for i, line := range lines {
		clean[i] = strings.Trim(line, " \t")
		if problem := hostile(line); problem != "" {
			return nil, &Error{d.Name, line, problem}
		}
	}
	values, err := d.parse(clean)
	if err != nil {
		return nil, &Error{d.Name, strings.Join(lines, " "), err.Error()}
	}
	for i := range values {
		values[i].Directive, values[i].Since, values[i].Needs = d.Name, max(values[i].Since, d.Since), d.Needs
	}
	return values, nil
}

// hostile says what makes a string dangerous or meaningless in a unit file.
func hostile(s string) string {
	switch {
	case len(s) > maxLine:
		return fmt.Sprintf("is longer than %d bytes", maxLine)
	case !utf8.ValidString(s):
		return "is not valid UTF-8"
	case strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }):
		return "holds a line end or another control character"
	case strings.Contains(s, `\`):
		return `holds a backslash, which would change the next line of the unit's file`
	case strings.Contains(s, "%") && !percentage(s):
		return "holds a percent sign, which systemd expands"
	case strings.ContainsAny(s, `"'`):
		return "holds a quote; write the value without"
	}
	return ""
}

// percentage tells whether each percent sign in s ends a number.
func percentage(s string) bool {
	for i, r := range s {
		if r != '%' {
			continue
		}
		if i == 0 || s[i-1] < '0' || s[i-1] > '9' || i+1 < len(s) && s[i+1] != ' ' {
			return false
		}
	}
	return true
}

// Nearest is the name of the directive that is most like name.
func Nearest(name string) (string, bool) {
	return nearest(name, func(yield func(string) bool) {
		for _, d := range table {
			if !yield(d.Name) {
				return
			}
		}
	})
}
