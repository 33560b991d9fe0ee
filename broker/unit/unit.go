// SPDX-License-Identifier: MPL-2.0

// Package unit turns a policy decision into the transient service unit that
// PID 1 is asked to start. It computes and does nothing else: no I/O, no D-Bus
// call, no clock.
//
// A [Unit] can only be made by [From], and From takes only a decision, so code
// that forgets to ask the policy does not compile.
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

// checked are the properties, besides those of profiles and of the floor, that
// decide what a unit can reach.
var checked = []string{
	"User", "Group", "SupplementaryGroups", "DynamicUser", "Slice", "RootDirectory", "RootImage", "DeviceAllow", "BindPaths", "BindReadOnlyPaths",
	"MemoryMax", "TasksMax", "AllowedCPUs",
}

// Intended are the properties, in the order in which they were sent, whose
// effective values must be those that were asked for; see [Differences].
func (u *Unit) Intended() []Property { return u.intended }

// intend notes what to check: the given properties, and before them those of the
// unit that decide what it can reach.
func (u *Unit) intend(decided []Property) {
	u.intended = slices.DeleteFunc(slices.Clone(u.properties), func(p Property) bool { return !slices.Contains(checked, p.Name) })
	u.intended = slices.Concat(u.intended, decided, floor)
}

// Properties are the unit's properties, in the order PID 1 must apply them.
func (u *Unit) Properties() []Property { return u.properties }
