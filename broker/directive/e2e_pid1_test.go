// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package directive_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/directive"
)

// pid1 is a connection to the PID 1 of the host.
type pid1 struct {
	bus     *dbus.Conn
	version int
	prefix  string // of all units of this test
	blocker string // never ends its start, for which all other units wait
	units   int
}

func dial(t *testing.T) *pid1 {
	t.Helper()
	bus, err := dbus.ConnectSystemBus()
	if err != nil {
		t.Fatal(err)
	}
	p := &pid1{bus: bus, prefix: unitPrefix + strings.ToLower(rand.Text()[:6]) + "-"}
	p.blocker = p.prefix + "blocker.service"
	v, err := bus.Object(systemd1, "/org/freedesktop/systemd1").GetProperty(systemd1 + ".Manager.Version")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := v.Value().(string)
	digits := strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if p.version, err = strconv.Atoi(digits[0]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cancelJobs(t)
		_ = exec.Command("systemctl", "stop", p.blocker).Run()
		files, _ := filepath.Glob(filepath.Join(unitDir, p.prefix+"*"))
		for _, f := range files {
			_ = os.Remove(f)
		}
		_ = exec.Command("systemctl", "daemon-reload").Run()
		_ = bus.Close()
	})
	if out, err := exec.Command("systemd-run", "--no-block", "--unit="+p.blocker, "-p", "CollectMode=inactive-or-failed", "-p", "Type=oneshot",
		"-p", "TimeoutStartSec=infinity", "/bin/sleep", "infinity").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return p
}

// cancelJobs lets PID 1 forget the units that wait, which takes less time than
// stopping them.
func (p *pid1) cancelJobs(t *testing.T) {
	t.Helper()
	manager := p.bus.Object(systemd1, "/org/freedesktop/systemd1")
	var jobs [][]any // a(usssoo): id, unit and more
	if err := manager.Call(systemd1+".Manager.ListJobs", 0).Store(&jobs); err != nil {
		t.Error(err)
	}
	for _, job := range jobs {
		if unit, _ := job[1].(string); strings.HasPrefix(unit, p.prefix) && unit != p.blocker {
			if err := manager.Call(systemd1+".Manager.CancelJob", 0, job[0]).Err; err != nil {
				t.Error(err)
			}
		}
	}
}

func (p *pid1) reload(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("systemctl", "daemon-reload").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// execute is ExecStart, a(sasb).
type execute struct {
	Path          string
	Args          []string
	IgnoreFailure bool
}

// property is (sv).
type property struct {
	Name  string
	Value dbus.Variant
}

// start makes a unit whose start waits for the blocker.
func (p *pid1) start(unit string, values []directive.Value) error {
	properties := []property{
		{"Type", dbus.MakeVariant("oneshot")},
		{"After", dbus.MakeVariant([]string{p.blocker})},
		{"ExecStart", dbus.MakeVariant([]execute{{"/bin/true", []string{"/bin/true"}, false}})},
	}
	for _, v := range values {
		properties = append(properties, property{v.Name, v.Value})
	}
	type auxiliary struct {
		Name       string
		Properties []property
	}
	return p.bus.Object(systemd1, "/org/freedesktop/systemd1").
		Call(systemd1+".Manager.StartTransientUnit", 0, unit, "fail", properties, []auxiliary{}).Err
}

// properties are those of the service, in a form that can be compared: systemd
// keeps many lists in no order.
func (p *pid1) properties(t *testing.T, unit string) map[string]string {
	t.Helper()
	var path dbus.ObjectPath
	if err := p.bus.Object(systemd1, "/org/freedesktop/systemd1").Call(systemd1+".Manager.LoadUnit", 0, unit).Store(&path); err != nil {
		t.Fatalf("cannot load %s: %v", unit, err)
	}
	object := p.bus.Object(systemd1, path)
	if state, err := object.GetProperty(systemd1 + ".Unit.LoadState"); err != nil || state.Value() != "loaded" {
		t.Fatalf("%s is %v, %v", unit, state, err)
	}
	var all map[string]dbus.Variant
	if err := object.Call("org.freedesktop.DBus.Properties.GetAll", 0, systemd1+".Service").Store(&all); err != nil {
		t.Fatal(err)
	}
	m := make(map[string]string, len(all))
	for name, v := range all {
		if !strings.HasPrefix(name, "Exec") && name != "MemoryAvailable" {
			m[name] = comparable(v.Value())
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
