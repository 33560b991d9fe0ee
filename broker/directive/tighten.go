// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"reflect"
	"slices"
	"strings"
)

// Tightens is nil if the lines of next, read after those of base, can only take
// away from what a unit may do with base alone. A directive of which this cannot
// be told may only stay as it is. The error is an [*Error].
func (d *Directive) Tightens(base, next []string) error {
	if len(next) == 0 {
		return nil
	}
	all := slices.Concat(base, next)
	after, err := d.Parse(all)
	if err != nil {
		return err
	}
	if before, err := d.parsed(base); err == nil && len(before) > 0 && reflect.DeepEqual(plain(before), plain(after)) {
		return nil
	}
	if d.tighter != nil && d.tighter(d, base, next) {
		return nil
	}
	if len(base) == 0 {
		return &Error{d.Name, strings.Join(next, " "), "gives more than the default, or something else"}
	}
	return &Error{d.Name, strings.Join(next, " "), "does not only tighten what is set already: " + strings.Join(base, " ")}
}

func (d *Directive) parsed(lines []string) ([]Value, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	return d.Parse(lines)
}

// plain are the values without what dbus.Variant adds.
func plain(values []Value) []any {
	all := make([]any, 0, 2*len(values))
	for _, v := range values {
		all = append(all, v.Name, v.Value.Value())
	}
	return all
}

// yes: a truth value that protects when it is set.
func yes(d *Directive, base, next []string) bool { return truth(d, base, next, true) }

// off: a truth value that protects when it is not set.
func off(d *Directive, base, next []string) bool { return truth(d, base, next, false) }

func truth(d *Directive, base, next []string, protects bool) bool {
	after, err := d.Parse(slices.Concat(base, next))
	if err != nil {
		return false
	}
	if len(after) != 1 {
		return len(base) == 0 // the default stays
	}
	b, ok := after[0].Value.Value().(bool)
	return ok && b == protects
}

// ascending: words, each of which takes more than the one before; the first is
// the default.
func ascending(order ...string) func(d *Directive, base, next []string) bool {
	rank := func(lines []string) int {
		if len(lines) == 0 || lines[len(lines)-1] == "" {
			return 0
		}
		text := lines[len(lines)-1]
		if b, err := parseBoolean(text); err == nil && !slices.Contains(order, text) {
			text = map[bool]string{true: "yes", false: "no"}[b]
		}
		return slices.Index(order, text)
	}
	return func(_ *Directive, base, next []string) bool {
		before, after := rank(base), rank(slices.Concat(base, next))
		return before >= 0 && after >= before
	}
}

// subset: a set that must not grow. Without a base it is initial.
func subset(initial uint64) func(d *Directive, base, next []string) bool {
	return func(d *Directive, base, next []string) bool {
		before, ok := mask(d, base, initial)
		after, ok2 := mask(d, slices.Concat(base, next), initial)
		return ok && ok2 && after&^before == 0
	}
}

func mask(d *Directive, lines []string, otherwise uint64) (uint64, bool) {
	values, err := d.parsed(lines)
	if err != nil {
		return 0, false
	}
	if len(values) == 0 {
		return otherwise, true
	}
	return number(values[0])
}

func number(v Value) (uint64, bool) {
	r := reflect.ValueOf(v.Value.Value())
	switch {
	case r.CanUint():
		return r.Uint(), true
	case r.CanInt() && r.Int() >= 0:
		return uint64(r.Int()), true //nolint:gosec // not negative
	}
	return 0, false
}

// lower: numbers that must not grow; without a base there is no limit.
func lower(d *Directive, base, next []string) bool {
	before, err := d.parsed(base)
	if err != nil {
		return false
	}
	after, err := d.Parse(slices.Concat(base, next))
	if err != nil || len(after) == 0 {
		return false
	}
	if len(before) == 0 {
		return true
	}
	if len(before) != len(after) {
		return false
	}
	for i := range after {
		was, ok := number(before[i])
		is, ok2 := number(after[i])
		if !ok || !ok2 || before[i].Name != after[i].Name || is > was {
			return false
		}
	}
	return true
}

// longer: lists of what is taken away, to which is added.
func longer(_ *Directive, _, next []string) bool { return !slices.Contains(next, "") }

// denies: filters, to which lines that deny are added; the first line of all may
// also be one that allows, as there was no filter before.
func denies(_ *Directive, base, next []string) bool {
	if slices.Contains(next, "") {
		return false
	}
	if len(since(base)) == 0 {
		next = next[1:]
	}
	return !slices.ContainsFunc(next, func(line string) bool { return !strings.HasPrefix(line, "~") })
}

// more: bits that take away, to which is added.
func more(d *Directive, base, next []string) bool {
	before, ok := mask(d, base, 0o022)
	after, ok2 := mask(d, slices.Concat(base, next), 0o022)
	return ok && ok2 && before&^after == 0
}
