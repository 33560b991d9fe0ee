// SPDX-License-Identifier: MPL-2.0

package fakepid1

import (
	"reflect"
	"strconv"

	"github.com/godbus/dbus/v5"
)

// readSent is what a property of the unit reads as that it was started with.
func (u *Unit) readSent(name string) (dbus.Variant, bool) {
	if u.sent[name+"Scale"] != nil {
		return dbus.MakeVariant(uint64(1 << 20)), true
	}
	values := u.sent[name]
	if values == nil {
		return dbus.Variant{}, false
	}
	return readForm(name, values), true
}

// filter is how systemd gives a filter: its sense, and all names.
type filter struct {
	Allow bool
	Names []string
}

// readForm is how systemd gives what a property was set to in turn: of lists
// all that came since the last empty one.
func readForm(name string, values []dbus.Variant) dbus.Variant {
	last := values[len(values)-1]
	signature := last.Signature().String()
	switch {
	case name == "ExecStart":
		return execForm(last)
	case signature == "(bas)":
		return filterForm(values)
	}
	typ, _ := typeOf(signature)
	if typ.Kind() != reflect.Slice || signature == "ay" {
		return dbus.MakeVariant(store(last, typ).Interface())
	}
	all := reflect.MakeSlice(typ, 0, 0)
	for _, value := range values {
		v := store(value, typ)
		if v.Len() == 0 {
			all = reflect.MakeSlice(typ, 0, 0)
		}
		all = reflect.AppendSlice(all, v)
	}
	return dbus.MakeVariant(all.Interface())
}

// execForm adds to each command how it ended.
func execForm(value dbus.Variant) dbus.Variant {
	typ, _ := typeOf("a(sasbttttuii)")
	rows, _ := value.Value().([][]any)
	out := make([][]any, len(rows))
	for i, r := range rows {
		out[i] = append(r, uint64(1), uint64(1), uint64(0), uint64(0), uint32(1), int32(0), int32(0))
	}
	return dbus.MakeVariant(store(dbus.MakeVariant(out), typ).Interface())
}

// filterForm does what systemd does with the lines of a filter, but leaves groups
// as they are.
func filterForm(values []dbus.Variant) dbus.Variant {
	var f filter
	for _, value := range values {
		row, _ := value.Value().([]any)
		allow, _ := row[0].(bool)
		names, _ := row[1].([]string)
		if len(names) == 0 || len(f.Names) == 0 {
			f = filter{allow, names}
			continue
		}
		for _, name := range names {
			f.Names = without(f.Names, name)
			if allow == f.Allow {
				f.Names = append(f.Names, name)
			}
		}
	}
	if f.Names == nil {
		f.Names = []string{}
	}
	return dbus.MakeVariant(f)
}

func without(names []string, name string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		if n != name {
			out = append(out, n)
		}
	}
	return out
}

// store is a value from the wire, where structures are lists, as a Go value of typ.
func store(value dbus.Variant, typ reflect.Type) reflect.Value {
	to := reflect.New(typ)
	if err := dbus.Store([]any{value.Value()}, to.Interface()); err != nil {
		panic(err) // a mistake of this package
	}
	return to.Elem()
}

var basic = map[byte]reflect.Type{
	'b': reflect.TypeFor[bool](), 'y': reflect.TypeFor[byte](), 'i': reflect.TypeFor[int32](),
	'q': reflect.TypeFor[uint16](), 'u': reflect.TypeFor[uint32](), 't': reflect.TypeFor[uint64](), 's': reflect.TypeFor[string](),
}

// typeOf is the Go type of the first type of a signature, and the rest.
func typeOf(signature string) (reflect.Type, string) {
	switch signature[0] {
	case 'a':
		element, rest := typeOf(signature[1:])
		return reflect.SliceOf(element), rest
	case '(':
		var fields []reflect.StructField
		for signature = signature[1:]; signature[0] != ')'; {
			var typ reflect.Type
			typ, signature = typeOf(signature)
			fields = append(fields, reflect.StructField{Name: "F" + strconv.Itoa(len(fields)), Type: typ})
		}
		return reflect.StructOf(fields), signature[1:]
	}
	return basic[signature[0]], signature[1:]
}
