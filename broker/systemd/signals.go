// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"fmt"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/systemd/unitpath"
	"nomad-systemd-driver/broker/systemd/wire"
)

// receive handles one signal. A signal that is not what org.freedesktop.systemd1(5)
// says ends the link: the next one begins with everything read again.
func (c *Conn) receive(l *link, s wire.Signal) {
	l.ownerSignal(s)
	if !l.fromPID1(s) {
		return
	}
	if err := c.events.receive(s); err != nil {
		l.Fail(err)
	}
}

func (e *events) receive(s wire.Signal) error {
	switch s.Interface + "." + s.Member {
	case propertiesInterface + ".PropertiesChanged":
		if unit, ok := unitpath.Unit(s.Path); ok {
			e.unitChanged(unit)
		}
	case managerInterface + ".UnitRemoved":
		var unit string
		var path dbus.ObjectPath
		if err := exactly(s, &unit, &path); err != nil {
			return err
		}
		e.unitChanged(unit)
	case managerInterface + ".JobRemoved":
		if !e.observed() {
			return nil // nobody waits for a job
		}
		var id uint32
		var job dbus.ObjectPath
		var unit, result string
		if err := exactly(s, &id, &job, &unit, &result); err != nil {
			return err
		}
		e.jobEnded(unit, job, result)
	case managerInterface + ".Reloading":
		var begins bool
		if err := exactly(s, &begins); err != nil {
			return err
		}
		if !begins {
			e.resync()
		}
	}
	return nil
}

// exactly stores the body of a signal, which must have these types.
func exactly(s wire.Signal, into ...any) error {
	body, err := s.Body()
	if err != nil {
		return err
	}
	if len(body) != len(into) {
		return fmt.Errorf("PID 1 sent %s with %d values, expected %d", s.Member, len(body), len(into))
	}
	for i, target := range into {
		switch t := target.(type) {
		case *string:
			*t, err = valueOf[string](body[i], s.Member)
		case *dbus.ObjectPath:
			*t, err = valueOf[dbus.ObjectPath](body[i], s.Member)
		case *uint32:
			*t, err = valueOf[uint32](body[i], s.Member)
		case *bool:
			*t, err = valueOf[bool](body[i], s.Member)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
