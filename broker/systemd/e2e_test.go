// SPDX-License-Identifier: MPL-2.0

//go:build e2e

// The tests in this file start units with the PID 1 of the host: run them as
// root in a throw-away machine.

package systemd

import (
	"crypto/rand"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/unit"
)

// An emulated machine is slow, and PID 1 is away while it executes itself anew.
func init() { patience = 2 * time.Minute }

const realPrefix = "brokerd-e2e-"

func realUnit() string { return realPrefix + strings.ToLower(rand.Text()[:8]) + ".service" }

// transports are the two ways to PID 1.
var transports = []struct {
	name    string
	options Options
}{
	{"private", Options{BusPath: "/nonexistent"}},
	{"bus", Options{PrivatePath: "/nonexistent"}},
}

// onBoth runs a test over each transport.
func onBoth(t *testing.T, test func(*testing.T, *Conn)) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			o := transport.options
			o.Watch = func(unit string) bool { return strings.HasPrefix(unit, realPrefix) }
			test(t, dialOptions(t, o))
		})
	}
}

// execute is ExecStart, a(sasb).
type execute struct {
	Path          string
	Args          []string
	IgnoreFailure bool
}

func program(args ...string) []unit.Property {
	return []unit.Property{
		{Name: "Type", Value: dbus.MakeVariant("exec")},
		{Name: "RemainAfterExit", Value: dbus.MakeVariant(true)},
		{Name: "CollectMode", Value: dbus.MakeVariant("inactive")},
		{Name: "LogExtraFields", Value: dbus.MakeVariant([][]byte{[]byte("E2E_TEST=a=b")})},
		{Name: "ExecStart", Value: dbus.MakeVariant([]execute{{args[0], args, false}})},
	}
}

// startReal starts a program and removes the unit when the test ends.
func startReal(t *testing.T, c *Conn, properties []unit.Property) (string, Status) {
	t.Helper()
	name := realUnit()
	s, err := c.start(testContext(t), name, properties)
	if err != nil {
		t.Fatal(err)
	}
	cleanUp(t, name)
	return name, s
}

func cleanUp(t *testing.T, name string) {
	t.Cleanup(func() { _ = exec.Command("systemctl", "stop", name).Run() })
	t.Cleanup(func() { _ = exec.Command("systemctl", "reset-failed", name).Run() })
}

// awaitState follows the changes until the unit is as wanted.
func awaitState(t *testing.T, c *Conn, name string, wanted func(Status) bool) Status {
	t.Helper()
	ctx := testContext(t)
	for {
		s, err := c.Status(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if wanted(s) {
			return s
		}
		if _, err := c.Next(ctx); err != nil {
			t.Fatalf("last state %+v: %v", s, err)
		}
	}
}

func ended(s Status) bool {
	return s.ActiveState == Failed || s.ActiveState == Active && s.SubState == Exited
}
