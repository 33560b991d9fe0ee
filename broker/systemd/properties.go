// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"context"
	"fmt"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/systemd/unitpath"
	"nomad-systemd-driver/broker/systemd/wire"
)

// Properties reads properties of any unit, for whoever looks at the host.
// PID 1 loads the unit if it has not; of one
// that does not exist LoadState is [LoadNotFound]. A property that this
// systemd does not know is missing in the answer.
func (c *Conn) Properties(ctx context.Context, name string, properties ...Property) (map[Property]any, error) {
	calls := make([]wire.Call, 0, len(properties))
	path := unitpath.Of(name)
	for _, p := range properties {
		calls = append(calls, getProperty(path, interfacePrefix+p.Interface, p.Name))
	}
	replies, err := c.read(ctx, calls...)
	if err != nil {
		return nil, fmt.Errorf("cannot read properties of unit %s: %w", name, err)
	}
	values := make(map[Property]any, len(properties))
	for i, p := range properties {
		if e := replies[i].Err; e != nil {
			if e.Name == errorUnknownProperty {
				continue
			}
			return nil, fmt.Errorf("cannot read property %s of unit %s: %w", p.Name, name, errorOf(e))
		}
		v, err := bodyOf[dbus.Variant](replies[i], p.Name)
		if err != nil {
			return nil, err
		}
		values[p] = v.Value()
	}
	return values, nil
}

// Property is a property of a unit, by its interface ("Unit", "Service", "Socket")
// and name, org.freedesktop.systemd1(5).
type Property struct{ Interface, Name string }

const (
	interfacePrefix      = "org.freedesktop.systemd1."
	errorUnknownProperty = "org.freedesktop.DBus.Error.UnknownProperty"
)
