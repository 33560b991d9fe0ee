// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/systemd/wire"
)

// onManager is a call of the manager object.
func onManager(member string, args ...any) wire.Call {
	return wire.Call{Destination: destination, Path: managerPath, Interface: managerInterface, Member: member, Args: args}
}

// getProperty asks for one property of one object.
func getProperty(path dbus.ObjectPath, iface, name string) wire.Call {
	return wire.Call{Destination: destination, Path: path, Interface: propertiesInterface, Member: "Get", Args: []any{iface, name}}
}

// getAll asks for properties of all interfaces of an object in one call. PID 1 gives
// all that there are; those that are not wanted are not decoded.
func getAll(path dbus.ObjectPath, wanted map[string]bool) wire.Call {
	return wire.Call{
		Destination: destination, Path: path, Interface: propertiesInterface, Member: "GetAll", Args: []any{""}, Only: wanted,
	}
}

// The functions below take the type they expect and make any other an error: a
// zero value in its place would be a state PID 1 never reported.

// bodyOf returns the only value of a reply.
func bodyOf[T any](r wire.Reply, what string) (T, error) {
	var zero T
	if len(r.Body) != 1 {
		return zero, fmt.Errorf("PID 1 answered %s with %d values, expected 1", what, len(r.Body))
	}
	return valueOf[T](r.Body[0], what)
}

// variantOf returns the property a reply to Get holds.
func variantOf[T any](r wire.Reply, name string) (T, error) {
	v, err := bodyOf[dbus.Variant](r, name)
	if err != nil {
		var zero T
		return zero, err
	}
	return valueOf[T](v.Value(), name)
}

func valueOf[T any](v any, what string) (T, error) {
	t, ok := v.(T)
	if !ok {
		return t, fmt.Errorf("PID 1 gave %s as %T, expected %T", what, v, t)
	}
	// godbus makes the strings of a message parts of one buffer of 4 KiB, and there is
	// a message for each property: what is kept of a unit would keep all of them.
	if s, ok := any(&t).(*string); ok {
		*s = strings.Clone(*s)
	}
	return t, nil
}
