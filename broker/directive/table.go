// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// table holds all directives, sorted by name. Properties and signatures are those
// of systemd's core/dbus-execute.c, core/dbus-cgroup.c, core/dbus-kill.c,
// core/dbus-service.c and core/dbus-unit.c, meanings those of systemd.exec(5),
// systemd.resource-control(5), systemd.kill(5), systemd.service(5) and
// systemd.unit(5).
var table = sorted(slices.Concat(sandboxTable, execTable, limitTable, cgroupTable, refusedTable()))

func sorted(all []*Directive) []*Directive {
	for _, d := range all {
		d.Needs = needs[d.Name]
	}
	slices.SortFunc(all, func(a, b *Directive) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// needs are the features that systemd can be built without: Debian 12 has no
// BPF_FRAMEWORK, for example.
var needs = map[string]string{
	"AppArmorProfile":           "APPARMOR",
	"LockPersonality":           "SECCOMP",
	"MemoryDenyWriteExecute":    "SECCOMP",
	"RestrictAddressFamilies":   "SECCOMP",
	"RestrictFileSystems":       "BPF_FRAMEWORK",
	"RestrictNamespaces":        "SECCOMP",
	"RestrictNetworkInterfaces": "BPF_FRAMEWORK",
	"RestrictRealtime":          "SECCOMP",
	"RestrictSUIDSGID":          "SECCOMP",
	"SmackProcessLabel":         "SMACK",
	"SocketBindAllow":           "BPF_FRAMEWORK",
	"SocketBindDeny":            "BPF_FRAMEWORK",
	"SystemCallArchitectures":   "SECCOMP",
	"SystemCallErrorNumber":     "SECCOMP",
	"SystemCallFilter":          "SECCOMP",
	"SystemCallLog":             "SECCOMP",
}

// bus is a directive's one property, of the same name.
func bus(name, signature string) []Bus { return []Bus{{name, signature}} }

// flag is a truth value that has a property of its own name.
func flag(name string, c Class, tighter func(*Directive, []string, []string) bool, summary string) *Directive {
	return &Directive{
		Name: name, Buses: bus(name, "b"), Class: c, Summary: summary,
		parse: boolean(name), tighter: tighter,
	}
}

// word is one of several words, with a property of its own name.
func word(name string, c Class, summary string, order ...string) *Directive {
	return &Directive{
		Name: name, Buses: bus(name, "s"), Class: c, Summary: summary + ": " + strings.Join(order, ", "),
		parse: enum(name, order...), tighter: ascending(order...),
	}
}

// forced marks directives that systemd-brokerd sets for every unit, to the last
// line that counts: a request may repeat that, and is refused anything else.
func forced(d *Directive, to string) *Directive {
	want, err := d.parse([]string{to})
	if err != nil {
		panic(err) // the table is wrong
	}
	parse := d.parse
	d.parse = func(lines []string) ([]Value, error) {
		got, err := parse(lines)
		if err == nil && !reflect.DeepEqual(plain(got), plain(want)) {
			err = fmt.Errorf("is refused: systemd-brokerd sets %s=%s for every unit", d.Name, to)
		}
		return got, err
	}
	return d
}

// in sets the first systemd that has a directive.
func in(version int, d *Directive) *Directive {
	d.Since = version
	return d
}

// live marks directives that can be changed while the unit runs.
func live(all ...*Directive) []*Directive {
	for _, d := range all {
		d.Live = true
	}
	return all
}

// above and below tell values of class Priority.
func above(most int64) func(string) bool {
	return func(text string) bool { return signed(text) > most }
}

func below(least int64) func(string) bool {
	return func(text string) bool { return signed(text) < least }
}

func signed(text string) int64 {
	var n int64
	negative := strings.HasPrefix(text, "-")
	number, _ := digits(strings.TrimLeft(text, "+-"))
	for _, c := range number[:min(len(number), 15)] {
		n = n*10 + int64(c-'0')
	}
	if negative {
		return -n
	}
	return n
}
