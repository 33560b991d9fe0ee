// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/systemd/wire"
	"nomad-systemd-driver/broker/unit"
)

// MismatchError tells that a unit runs with another value of a property than it
// was to have.
type MismatchError struct{ Unit, Property, Want, Got string }

// Error implements error.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("unit %s has %s=%s, and was to have %s", e.Unit, e.Property, e.Got, e.Want)
}

// mismatch compares what PID 1 has with what it was asked for. What it does not
// answer is not what was asked for either.
func mismatch(name string, intended []unit.Property, replies []wire.Reply) error {
	for i, p := range intended {
		got := "unknown"
		if replies[i].Err == nil {
			v, err := bodyOf[dbus.Variant](replies[i], p.Name)
			if err != nil {
				return &MismatchError{name, p.Name, p.Value.String(), err.Error()}
			}
			if same(p, v) {
				continue
			}
			got = v.String()
		}
		return &MismatchError{name, p.Name, p.Value.String(), got}
	}
	return nil
}

// same: PID 1 shows lists in an order of its own, sets of CPUs with zero bytes at
// the end, and of filters of system calls what their groups stand for.
func same(p unit.Property, got dbus.Variant) bool {
	want := p.Value.Value()
	switch signature := p.Value.Signature().String(); {
	case p.Name == "SystemCallArchitectures":
		return len(parts(want)) == len(parts(got.Value())) // "native" has another name there
	case signature == "ay":
		return slices.Equal(trimmed(texts(want)), trimmed(texts(got.Value())))
	case signature == "(bas)":
		ask, have := parts(want), parts(got.Value())
		switch {
		case len(have) != 2 || text(ask[0]) != text(have[0]):
			return false
		case strings.HasPrefix(p.Name, "SystemCall"):
			return len(parts(have[1])) > 0
		}
		return slices.Equal(set(ask[1]), set(have[1]))
	case strings.HasPrefix(signature, "a"):
		return slices.Equal(set(want), set(got.Value()))
	}
	return text(want) == text(got.Value())
}

func trimmed(values []string) []string {
	for len(values) > 0 && values[len(values)-1] == "0" {
		values = values[:len(values)-1]
	}
	return values
}

// parts are the fields of a struct of ours, or the elements of a slice, as which
// godbus has structs too.
func parts(v any) []any {
	if inner, ok := v.(dbus.Variant); ok {
		return parts(inner.Value())
	}
	var all []any
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Slice:
		for i := range r.Len() {
			all = append(all, r.Index(i).Interface())
		}
	case reflect.Struct:
		for _, field := range r.Fields() {
			all = append(all, field.Interface())
		}
	default:
	}
	return all
}

// text is a value in words that are the same for a struct and a slice.
func text(v any) string {
	if inner, ok := v.(dbus.Variant); ok {
		return text(inner.Value())
	}
	if kind := reflect.ValueOf(v).Kind(); kind == reflect.Slice || kind == reflect.Struct {
		return "(" + strings.Join(texts(v), " ") + ")"
	}
	return fmt.Sprint(v)
}

func texts(v any) []string {
	var all []string
	for _, part := range parts(v) {
		all = append(all, text(part))
	}
	return all
}

func set(v any) []string {
	all := texts(v)
	slices.Sort(all)
	return slices.Compact(all)
}
