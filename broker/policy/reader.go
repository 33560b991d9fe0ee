// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// maxListed bounds one list of a policy.
const maxListed = 1024

// schema is what a block may hold.
type schema struct{ attributes, blocks []string }

// failure keeps the first error of a load. What is read after it does not count.
type failure struct{ err error }

// reader takes one block apart. After an error it returns zero values, so that
// code which reads a block is a straight line and looks at the error once.
type reader struct {
	*failure
	src   *source
	title string // what messages call the block
	head  span
	body  *hclsyntax.Body
}

// value is a literal string and where it stands.
type value struct {
	text string
	at   span
}

// read starts reading a block, and refuses what the schema does not know.
func (f *failure) read(src *source, title string, head span, body *hclsyntax.Body, known schema) *reader {
	r := &reader{f, src, title, head, body}
	for _, name := range slices.Sorted(maps.Keys(body.Attributes)) {
		if !slices.Contains(known.attributes, name) {
			at := spanOf(body.Attributes[name].NameRange)
			r.fail(at, "unknown attribute %q in %s; known here: %s", name, title, known)
		}
	}
	for _, b := range body.Blocks {
		if !slices.Contains(known.blocks, b.Type) {
			r.fail(spanOf(b.TypeRange), "unknown block %q in %s; known here: %s", b.Type, title, known)
		}
	}
	return r
}

// String lists what a schema knows.
func (s schema) String() string {
	names := slices.Clone(s.attributes)
	for _, b := range s.blocks {
		names = append(names, b+" {}")
	}
	return strings.Join(names, ", ")
}

// fail keeps the error unless there is one already.
func (r *reader) fail(at span, format string, args ...any) {
	if r.err == nil {
		r.err = r.src.errorAt(at, format, args...)
	}
}

// has is whether an attribute is written.
func (r *reader) has(name string) bool { return r.body.Attributes[name] != nil }

// expr is an attribute's expression, nil with an error if it is not written.
func (r *reader) expr(name, example string) hclsyntax.Expression {
	if a := r.body.Attributes[name]; a != nil {
		return a.Expr
	}
	r.fail(r.head, "%s lacks %s; write %s = %s", r.title, name, name, example)
	return nil
}

// str is a string that must be written.
func (r *reader) str(name, example string) value {
	e := r.expr(name, example)
	if e == nil {
		return value{}
	}
	return r.literalString(e, name)
}

// list is a list of strings: nil if it is not written, and never empty.
func (r *reader) list(name string) []value {
	if !r.has(name) {
		return nil
	}
	e := r.body.Attributes[name].Expr
	at := spanOf(e.Range())
	tuple, ok := e.(*hclsyntax.TupleConsExpr)
	switch {
	case !ok:
		r.fail(at, `%s must be a list of strings, such as ["a", "b"]`, name)
		return nil
	case len(tuple.Exprs) == 0:
		r.fail(at, "%s is empty and would allow nothing; write a value or delete it", name)
		return nil
	case len(tuple.Exprs) > maxListed:
		r.fail(at, "%s holds %d values, more than %d", name, len(tuple.Exprs), maxListed)
		return nil
	}
	values := make([]value, len(tuple.Exprs))
	for i, e := range tuple.Exprs {
		values[i] = r.literalString(e, "a value of "+name)
		if slices.ContainsFunc(values[:i], func(v value) bool { return v.text == values[i].text }) {
			r.fail(values[i].at, "%q is in the list twice; delete one", values[i].text)
		}
	}
	return values
}

func (r *reader) literalString(e hclsyntax.Expression, what string) value {
	at := spanOf(e.Range())
	text := r.src.text[at.start:at.end]
	_, quoted := e.(*hclsyntax.TemplateExpr)
	switch {
	case !quoted || len(text) < 2:
		r.fail(at, `%s must be a string in double quotes, such as "text"`, what)
		return value{at: at}
	case strings.ContainsAny(string(text), "${%"):
		r.fail(at, "%s must not hold any of $, %% and {; they would mean something to other programs", what)
		return value{at: at}
	}
	return value{string(text[1 : len(text)-1]), at}
}

// number is a number from least to most that must be written.
func (r *reader) number(name, example string, least, most uint64) uint64 {
	e := r.expr(name, example)
	if e == nil {
		return 0
	}
	at := spanOf(e.Range())
	text := r.src.text[at.start:at.end]
	if !number.Match(text) {
		r.fail(at, "%s must be a whole number, such as %s", name, example)
		return 0
	}
	n, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil || n < least || n > most {
		r.fail(at, "%s must be a number from %d to %d", name, least, most)
		return 0
	}
	return n
}

// boolean is true only if true is written.
func (r *reader) boolean(name string) bool {
	if !r.has(name) {
		return false
	}
	at := spanOf(r.body.Attributes[name].Expr.Range())
	switch string(r.src.text[at.start:at.end]) {
	case "true":
		return true
	case "false":
		return false
	}
	r.fail(at, "%s must be true or false", name)
	return false
}

// at is where an attribute's value stands, or the head of the block.
func (r *reader) at(name string) span {
	if a := r.body.Attributes[name]; a != nil {
		return spanOf(a.Expr.Range())
	}
	return r.head
}

// block is a block without a label that may be written once; nil if it is not.
func (r *reader) block(name string, known schema) *reader {
	var found *reader
	for _, b := range r.body.Blocks {
		head := spanOf(b.DefRange())
		switch {
		case b.Type != name:
		case found != nil:
			r.fail(head, "%s has a second %s block; join the two", r.title, name)
		case len(b.Labels) > 0:
			r.fail(spanOf(b.LabelRanges[0]), "the %s block of %s takes no name; delete it", name, r.title)
		default:
			found = r.read(r.src, fmt.Sprintf("the %s block of %s", name, r.title), head, b.Body, known)
		}
	}
	return found
}
