// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"slices"

	"github.com/godbus/dbus/v5"
)

// format is how the values of a directive are written, what they become on
// D-Bus, and which of two sets of lines allows less.
type format struct {
	accepts   string // completes "accepted: "
	signature string // of the property, if there is one and it has the directive's name
	percent   bool   // values may have a %
	parse     func(d *Directive, lines []string) ([]Value, error)
	order     order
}

// with is the format with an order.
func (f format) with(o order) format { f.order = o; return f }

// withPercent is the format for values that may have a %.
func (f format) withPercent() format { f.percent = true; return f }

// distinct is the format of a list in which PID 1 takes nothing twice.
func (f format) distinct() format {
	parse := f.parse
	f.parse = func(d *Directive, lines []string) ([]Value, error) {
		values, err := parse(d, lines)
		for i, v := range values {
			all, _ := v.Value.Value().([]string)
			once := []string{}
			for _, s := range all {
				if !slices.Contains(once, s) {
					once = append(once, s)
				}
			}
			values[i] = value(v.Name, once)
		}
		return values, err
	}
	return f
}

// scalar is the format of a directive whose last line counts.
func scalar(accepts, signature string, read func(name, line string) ([]Value, error)) format {
	return format{accepts: accepts, signature: signature, parse: func(d *Directive, lines []string) ([]Value, error) {
		var last []Value
		for _, line := range lines {
			values, err := read(d.Name, line)
			if err != nil {
				return nil, d.fail(line, err.Error())
			}
			last = values
		}
		return last, nil
	}}
}

// single is a scalar of one property, which is the directive's first.
func single[T any](accepts, signature string, read func(line string) (T, error)) format {
	return format{accepts: accepts, signature: signature, parse: func(d *Directive, lines []string) ([]Value, error) {
		var last []Value
		for _, line := range lines {
			v, err := read(line)
			if err != nil {
				return nil, d.fail(line, err.Error())
			}
			last = []Value{value(d.Buses[0].Name, v)}
		}
		return last, nil
	}}
}

// list is the format of a directive whose lines have elements of one array.
func list[T any](accepts, signature string, read func(line string) ([]T, error)) format {
	return format{accepts: accepts, signature: signature, parse: func(d *Directive, lines []string) ([]Value, error) {
		name := d.Buses[0].Name
		var values []Value
		elements := []T{}
		for _, line := range lines {
			if line == "" {
				values, elements = []Value{value(name, []T{})}, []T{}
				continue
			}
			more, err := read(line)
			if err != nil {
				return nil, d.fail(line, err.Error())
			}
			elements = append(elements, more...)
		}
		if len(elements) > 0 {
			values = append(values, value(name, elements))
		}
		return values, nil
	}}
}

// fold is the format of a directive whose lines change one value in turn,
// beginning with initial. Its empty line is one of step's.
func fold[T, W any](accepts, signature string, initial T, step func(v T, line string) (T, error), wire func(T) W) format {
	return format{accepts: accepts, signature: signature, parse: func(d *Directive, lines []string) ([]Value, error) {
		if len(lines) == 0 {
			return nil, nil
		}
		v, err := folded(d, lines, initial, step)
		if err != nil {
			return nil, err
		}
		return []Value{value(d.Buses[0].Name, wire(v))}, nil
	}}
}

func folded[T any](d *Directive, lines []string, initial T, step func(v T, line string) (T, error)) (T, error) {
	v := initial
	for _, line := range lines {
		var err error
		if v, err = step(v, line); err != nil {
			return v, d.fail(line, err.Error())
		}
	}
	return v, nil
}

func value(name string, v any) Value { return Value{Name: name, Value: dbus.MakeVariant(v)} }

// newest is the later of the systemds that two values need.
func newest(a, b int) int { return max(a, b) }

var errEmpty = errors.New("must not be empty")
