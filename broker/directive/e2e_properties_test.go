// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package directive_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// ofRun are properties that tell the unit's name and where it comes from, and those
// that change while it waits to be started: all others must be the same.
var ofRun = regexp.MustCompile(`^(ExecMain.*|.*Timestamp(Monotonic)?|MemoryAvailable|` +
	`Id|Names|Description|FragmentPath|DropInPaths|UnitFileState|UnitFilePreset|Transient|NeedDaemonReload|` +
	`ActiveState|SubState|FreezerState|Job|InvocationID|ConditionResult|AssertResult|LoadError|Refs|ActivationDetails|Can[A-Z].*)$`)

// properties are those of the service and of the unit, in a form that can be
// compared: systemd keeps many lists in no order.
func (p *pid1) properties(t *testing.T, unit string) map[string]string {
	t.Helper()
	var path dbus.ObjectPath
	if err := p.bus.Object(systemd1, "/org/freedesktop/systemd1").Call(systemd1+".Manager.LoadUnit", 0, unit).Store(&path); err != nil {
		t.Fatalf("cannot load %s: %v", unit, err)
	}
	object := p.bus.Object(systemd1, path)
	m := make(map[string]string)
	for _, kind := range []string{".Unit", ".Service"} {
		var all map[string]dbus.Variant
		if err := object.Call("org.freedesktop.DBus.Properties.GetAll", 0, systemd1+kind).Store(&all); err != nil {
			t.Fatal(err)
		}
		if state, ok := all["LoadState"]; ok && state.Value() != "loaded" {
			t.Fatalf("%s is %v", unit, state)
		}
		for name, v := range all {
			if !ofRun.MatchString(name) {
				m[name] = comparable(withoutStatus(name, v.Value()))
			}
		}
	}
	// What is not written the same, but is.
	if m["RestrictNamespaces"] == "18446744073709551615" {
		m["RestrictNamespaces"] = "2114060288"
	}
	if m["RestrictNetworkInterfaces"] == "(true [])" {
		m["RestrictNetworkInterfaces"] = "(false [])"
	}
	for _, name := range []string{"AmbientCapabilities", "CapabilityBoundingSet"} {
		n, err := strconv.ParseUint(m[name], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		m[name] = strconv.FormatUint(n&knownCapabilities, 10)
	}
	return m
}

// withoutStatus leaves of the commands of a unit (ExecStart= and its like) the path,
// the arguments and the flags: what follows is when they ran and how they ended.
func withoutStatus(name string, v any) any {
	list, ok := v.([][]any)
	if !ok || !strings.HasPrefix(name, "Exec") {
		return v
	}
	commands := make([][]any, len(list))
	for i, command := range list {
		commands[i] = command[:min(3, len(command))]
	}
	return commands
}

func comparable(v any) string {
	switch v := v.(type) {
	case []string:
		s := slices.Clone(v)
		slices.Sort(s)
		// From unit files PID 1 keeps what is there twice, over D-Bus once.
		return fmt.Sprintf("%q", slices.Compact(s))
	case [][]any:
		var s []string
		for _, e := range v {
			s = append(s, comparable(e))
		}
		slices.Sort(s)
		return fmt.Sprintf("%q", s)
	case []any:
		var s []string
		for _, e := range v {
			s = append(s, comparable(e))
		}
		return fmt.Sprintf("(%s)", strings.Join(s, " "))
	}
	return fmt.Sprintf("%v", v)
}
