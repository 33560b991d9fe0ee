// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"reflect"
	"slices"
	"strings"
)

// order says why after allows something that before does not; empty if it
// certainly allows nothing more. Both are lines that Parse takes, and after
// begins with before.
type order func(d *Directive, before, after []string) string

// Tightens reports whether adding values to the lines in base, as of a profile,
// can only take rights from the program, and never give it any. The error says
// why not. Where what is set when base is empty depends on the host, and where
// values have no order, only values that change nothing pass; weights and the
// like, which are no protection, are free unless base sets them.
func (d *Directive) Tightens(base, values []string) error {
	before, err := d.lines(base)
	if err != nil {
		return err
	}
	added, err := d.lines(values)
	if err != nil {
		return err
	}
	for _, lines := range [][]string{base, values} {
		if _, err := d.Parse(lines); err != nil {
			return err
		}
	}
	if len(added) == 0 {
		return nil
	}
	compare := d.format.order
	if compare == nil {
		compare = same
	}
	problem := compare(d, before, slices.Concat(before, added))
	if problem == "" {
		return nil
	}
	was := "nothing"
	if len(before) > 0 {
		was = strings.Join(before, "; ")
	}
	return &Error{d.Name, added[len(added)-1], problem + "; what is set already is " + shorten(was) + ", and it may only be tightened"}
}

// same takes only lines that change nothing.
func same(d *Directive, before, after []string) string {
	was, err := d.format.parse(d, before)
	if err != nil {
		return err.Error()
	}
	is, err := d.format.parse(d, after)
	if err != nil {
		return err.Error()
	}
	if len(was) == 0 || !reflect.DeepEqual(was, is) {
		return "differs"
	}
	return ""
}

// weightOrder leaves a directive free as long as before does not set it.
func weightOrder(d *Directive, before, after []string) string {
	if len(before) == 0 {
		return ""
	}
	return same(d, before, after)
}

// shrinking is the order of lines that change a set in turn.
func shrinking[T any](initial T, step func(T, string) (T, error), smaller func(before, after T) bool, problem string) order {
	return func(d *Directive, before, after []string) string {
		was, err := folded(d, before, initial, step)
		if err != nil {
			return err.Error()
		}
		is, err := folded(d, after, initial, step)
		if err != nil {
			return err.Error()
		}
		if !smaller(was, is) {
			return problem
		}
		return ""
	}
}

// grade is where a value stands among others. A value of a higher rank allows
// less; of two of the same rank only the same one does not allow more.
type grade struct {
	rank int
	name string
}

// rising is the order of values that have a grade.
func rising(read func(line string) (grade, error), unset grade, problem string) order {
	return func(_ *Directive, before, after []string) string {
		was := unset
		if len(before) > 0 {
			var err error
			if was, err = read(before[len(before)-1]); err != nil {
				return err.Error()
			}
		}
		is, err := read(after[len(after)-1])
		switch {
		case err != nil:
			return err.Error()
		case is.rank > was.rank || is == was:
			return ""
		}
		return problem
	}
}

// falling is the order of limits: the lower one allows less.
func falling(rank func(line string) (uint64, error), unset uint64) order {
	return func(_ *Directive, before, after []string) string {
		was := unset
		if len(before) > 0 {
			var err error
			if was, err = rank(before[len(before)-1]); err != nil {
				return "cannot be compared with what is set, which " + err.Error()
			}
		}
		is, err := rank(after[len(after)-1])
		switch {
		case errors.Is(err, errShare) && was == infinity:
			return ""
		case err != nil:
			return err.Error()
		case is > was:
			return "is more than what is set"
		}
		return ""
	}
}

// once is the order of directives that stand in for another one while they are
// set: without knowing that one, nothing can be said of the first line.
func once(o order) order {
	return func(d *Directive, before, after []string) string {
		if len(before) == 0 {
			return "would replace what applies without it"
		}
		return o(d, before, after)
	}
}

// onlyDeny takes further lines that deny something, and anything while nothing
// is set: names overlap, so that no other lines can be compared.
func onlyDeny(_ *Directive, before, after []string) string {
	if len(before) == 0 {
		return ""
	}
	for _, line := range after[len(before):] {
		if !strings.HasPrefix(line, "~") {
			return "is not a line with a ~, which takes away only"
		}
	}
	return ""
}
