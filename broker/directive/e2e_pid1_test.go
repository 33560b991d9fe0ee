// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package directive_test

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
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
