// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"fmt"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/unit"
)

// MismatchError tells that a unit runs with another value of a property than it
// was to have.
type MismatchError struct{ Unit, Property, Want, Got string }

// Error implements error.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("unit %s has %s=%s, and was to have %s", e.Unit, e.Property, e.Got, e.Want)
}

// mismatch compares what PID 1 has with what it was asked for. What PID 1 does not
// tell is not what was asked for either.
func mismatch(name string, intended []unit.Property, values map[string]dbus.Variant) error {
	if all := unit.Differences(intended, values); len(all) > 0 {
		return &MismatchError{name, all[0].Name, all[0].Want, all[0].Got}
	}
	return nil
}
