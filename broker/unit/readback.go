// SPDX-License-Identifier: MPL-2.0

package unit

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// Difference is a property that PID 1 does not have as it was sent.
type Difference struct{ Name, Want, Got string }

func (d Difference) String() string {
	return fmt.Sprintf("%s is %s, want %s", d.Name, d.Got, d.Want)
}

// notRead are properties that are none of org.freedesktop.systemd1.Service, or
// cannot be read, and protect nothing: descriptors are used whatever StandardOutput=
// and its like say.
var notRead = []string{
	"Description", "CollectMode", "StartLimitIntervalUSec", "JoinsNamespaceOf", "SuccessExitStatus", "Wants", "After",
	"StandardInputFileDescriptor", "StandardOutputFileDescriptor", "StandardErrorFileDescriptor",
}

// readAs are properties that are read by another name than they are set by.
var readAs = map[string]string{
	"InaccessibleDirectories": "InaccessiblePaths",
	"ReadOnlyDirectories":     "ReadOnlyPaths",
}

// ReadBack are the properties whose values tell what PID 1 made of those that were
// sent, each once.
func ReadBack(sent []Property) []string {
	var names []string
	for _, p := range sent {
		name := strings.TrimSuffix(p.Name, "Scale")
		if other, ok := readAs[name]; ok {
			name = other
		}
		if !slices.Contains(notRead, p.Name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Differences compares what was sent with what PID 1 says of the unit: PID 1 logs
// and leaves out some of what it does not understand, and the program would run
// without it. What PID 1 makes stricter of its own, such as for DynamicUser=, is
// no difference.
//
// Of a filter of system calls it compares the sense, the names and a few members
// of each group, not what else is in the list: PID 1 gives groups as their
// members, which differ from version to version.
func Differences(sent []Property, read map[string]dbus.Variant) []Difference {
	var names []string
	values := make(map[string][]any)
	for _, p := range sent {
		if slices.Contains(notRead, p.Name) {
			continue
		}
		if values[p.Name] == nil {
			names = append(names, p.Name)
		}
		values[p.Name] = append(values[p.Name], p.Value.Value())
	}
	var all []Difference
	for _, name := range names {
		if d, differs := difference(name, values[name], read); differs {
			all = append(all, d)
		}
	}
	return all
}

func difference(name string, sent []any, read map[string]dbus.Variant) (Difference, bool) {
	as := name
	if other, ok := readAs[name]; ok {
		as = other
	}
	// A share of the host's memory or tasks is read as what it comes to.
	if base, ok := strings.CutSuffix(name, "Scale"); ok {
		got, ok := read[base].Value().(uint64)
		return Difference{name, "a limit", "none"}, !ok || got == ^uint64(0)
	}
	v, ok := read[as]
	if !ok {
		return Difference{name, text(sent[len(sent)-1]), "not known to systemd"}, true
	}
	got := v.Value()
	if compare, special := comparisons[name]; special {
		return Difference{name, text(folded(sent)), text(got)}, !compare(sent, got)
	}
	if _, isFilter := filterOf(sent[0]); isFilter {
		return Difference{name, text(sent), text(got)}, !sameFilter(sent, got)
	}
	want := folded(sent)
	typed, err := typedAs(got, want)
	if err != nil || !reflect.DeepEqual(want, folded([]any{typed})) {
		return Difference{name, text(want), text(got)}, true
	}
	return Difference{}, false
}

func text(v any) string {
	const enough = 200
	s := fmt.Sprint(v)
	if len(s) > enough {
		s = strings.ToValidUTF8(s[:enough], "") + "…"
	}
	return s
}

// typedAs is a value as it came from the wire, as the Go type that was sent.
func typedAs(got, like any) (any, error) {
	to := reflect.New(reflect.TypeOf(like))
	if err := dbus.Store([]any{got}, to.Interface()); err != nil {
		return nil, fmt.Errorf("cannot compare %T with %T: %w", got, like, err)
	}
	return to.Elem().Interface(), nil
}

// folded is what PID 1 makes of the values that one property was set to in turn:
// the last one, or of lists all since the last empty one. Lists are sorted, and
// masks end in a byte that is not 0.
func folded(sent []any) any {
	last := reflect.ValueOf(sent[len(sent)-1])
	if mask, ok := sent[len(sent)-1].([]byte); ok {
		return slices.Clone(mask[:len(strings.TrimRight(string(mask), "\x00"))])
	}
	if last.Kind() != reflect.Slice {
		return sent[len(sent)-1]
	}
	all := reflect.MakeSlice(last.Type(), 0, 0)
	for _, s := range sent {
		v := reflect.ValueOf(s)
		if v.Len() == 0 {
			all = reflect.MakeSlice(last.Type(), 0, 0)
		}
		for i := range v.Len() {
			all = reflect.Append(all, v.Index(i))
		}
	}
	return sorted(all)
}

func sorted(list reflect.Value) any {
	seen := make(map[string]int)
	var keys []string
	for i := range list.Len() {
		key := fmt.Sprintf("%v", list.Index(i).Interface())
		if _, twice := seen[key]; !twice {
			keys = append(keys, key)
		}
		seen[key] = i
	}
	slices.Sort(keys)
	out := reflect.MakeSlice(list.Type(), 0, len(keys))
	for _, key := range keys {
		out = reflect.Append(out, list.Index(seen[key]))
	}
	return out.Interface()
}
