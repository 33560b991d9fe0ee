// SPDX-License-Identifier: MPL-2.0

// Package unit turns a policy decision into the transient service unit that
// PID 1 is asked to start. It computes and does nothing else: no I/O, no D-Bus
// call, no clock.
//
// A [Unit] can only be made by [From], and From takes only a decision, so code
// that forgets to ask the policy does not compile; or by [Ending], which takes nothing
// of a client's.
package unit

import (
	"slices"

	"github.com/godbus/dbus/v5"
)

// Property is one property of a unit as StartTransientUnit takes it: the D-Bus
// structure (sv).
type Property struct {
	Name  string
	Value dbus.Variant
}

// Unit is a transient service unit, ready to be started.
type Unit struct {
	name       string
	properties []Property
	intended   []Property
}

// Name is the unit's name, with its ".service" suffix.
func (u *Unit) Name() string { return u.name }

// Intended are the properties, in the order in which they were sent, whose
// effective values must be those that were asked for, and those that must have no
// value because none was asked for; see [Differences].
func (u *Unit) Intended() []Property { return u.intended }

// intend notes what to check: all that can be read of what is sent, and the nothing
// of what is not sent.
func (u *Unit) intend(systemd int) {
	sent := make(map[string]dbus.Variant, len(u.properties))
	for _, p := range u.properties {
		sent[p.Name] = p.Value
		if !slices.Contains(notRead, p.Name) {
			u.intended = append(u.intended, p)
		}
	}
	for _, p := range nothing {
		if _, ok := sent[p.Name]; !ok && p.since <= systemd {
			u.intended = append(u.intended, p.Property)
		}
	}
	u.intended = append(u.intended, withoutFlags(sent["ExecStart"]))
	if _, ok := sent["Group"]; !ok {
		u.intended = append(u.intended, Property{"Group", sent["User"]}) // the dynamic user's own
	}
}

// Properties are the unit's properties, in the order PID 1 must apply them.
func (u *Unit) Properties() []Property { return u.properties }
