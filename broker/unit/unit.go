// SPDX-License-Identifier: MPL-2.0

// Package unit turns a policy decision into the transient service unit that
// PID 1 is asked to start. It computes and does nothing else: no I/O, no D-Bus
// call, no clock.
//
// A [Unit] can only be made by [From], and From takes only a decision, so code
// that forgets to ask the policy does not compile.
package unit

import "github.com/godbus/dbus/v5"

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
}

// Name is the unit's name, with its ".service" suffix.
func (u *Unit) Name() string { return u.name }

// Properties are the unit's properties, in the order PID 1 must apply them.
func (u *Unit) Properties() []Property { return u.properties }
