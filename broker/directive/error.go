// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"fmt"
	"strings"
)

// Error says what is wrong with a value of a directive.
type Error struct {
	Directive string
	Value     string // the line that is wrong; empty if it is none in particular
	Problem   string // what is wrong with it, and what is accepted
}

func (e *Error) Error() string {
	if e.Value == "" {
		return e.Directive + " " + e.Problem
	}
	return fmt.Sprintf("%s: %q %s", e.Directive, shorten(e.Value), e.Problem)
}

// shorten keeps a value from filling the whole message.
func shorten(value string) string {
	const enough = 80
	if len(value) <= enough {
		return value
	}
	return strings.ToValidUTF8(value[:enough], "") + "…"
}

// fail is the error for a line.
func (d *Directive) fail(line, problem string) *Error {
	if line == "" {
		problem = "must not be empty"
	}
	return &Error{d.Name, line, problem + "; accepted: " + d.format.accepts}
}

// problems of values; they complete "the value …".
var (
	errForm  = errors.New("is not of this form")
	errRange = errors.New("is out of range")
	errOrder = errors.New("has a lower end above its upper end")
)

// unknown is an error for a name that is not known, with a suggestion if one is near.
func unknown(kind, name string, names func(yield func(string) bool)) error {
	if near, ok := nearest(name, names); ok {
		return fmt.Errorf("has the unknown %s %q, did you mean %q?", kind, shorten(name), near)
	}
	return fmt.Errorf("has the unknown %s %q", kind, shorten(name))
}
