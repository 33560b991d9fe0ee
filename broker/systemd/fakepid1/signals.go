// SPDX-License-Identifier: MPL-2.0

package fakepid1

import (
	"fmt"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/systemd/unitpath"
)

const (
	managerPath = dbus.ObjectPath("/org/freedesktop/systemd1")
	jobPrefix   = "/org/freedesktop/systemd1/job/"
)

// All functions here need the server's mutex.

// queue gives a unit a job.
func (s *Server) queue(u *Unit, verb string) dbus.ObjectPath {
	s.jobs++
	u.job, u.verb = s.jobs, verb
	job := jobPath(s.jobs)
	u.set(map[string]any{"Job": jobRef{s.jobs, job}})
	return job
}

func jobPath(id uint32) dbus.ObjectPath {
	return dbus.ObjectPath(fmt.Sprint(jobPrefix, id))
}

// finish ends the unit's job and does what the job was for.
func (s *Server) finish(u *Unit, result string) {
	if u.job == 0 {
		return
	}
	if result == "" {
		result = "done"
	}
	id := u.job
	u.job = 0
	u.set(map[string]any{"Job": jobRef{0, "/"}})
	switch {
	case u.verb == "start" && result == "done":
		u.executed()
	case u.verb == "start":
		u.ended(1, u.outcome.ExitStatus)
	case u.values["ActiveState"] != "failed":
		u.set(map[string]any{"ActiveState": "inactive", "SubState": "dead", "MainPID": uint32(0)})
	}
	s.changed(u)
	s.emit(manager, "JobRemoved", "", id, jobPath(id), u.Name, result)
	if u.values["ActiveState"] == "inactive" {
		s.unload(u)
	}
}

// unload is what CollectMode=inactive does to an inactive unit.
func (s *Server) unload(u *Unit) {
	delete(s.units, u.Name)
	s.changed(u)
	s.emit(manager, "UnitRemoved", "", u.Name, unitpath.Of(u.Name))
}

// changed announces a unit's properties as systemd does, the service first.
func (s *Server) changed(u *Unit) {
	for _, iface := range []string{"Service", "Unit"} {
		s.emit(properties, "PropertiesChanged", unitpath.Of(u.Name),
			"org.freedesktop.systemd1."+iface, map[string]dbus.Variant{}, []string{})
	}
}

// emit sends a signal of PID 1; an empty path is the manager's.
func (s *Server) emit(iface, member string, path dbus.ObjectPath, body ...any) {
	if path == "" {
		path = managerPath
	}
	s.send(s.owner, path, iface, member, body...)
}

// send sends a signal to every client that is to get it.
func (s *Server) send(sender string, path dbus.ObjectPath, iface, member string, body ...any) {
	for c := range s.conns {
		if !c.ready || s.bus && !c.wants(member) {
			continue
		}
		m := &dbus.Message{
			Type: dbus.TypeSignal,
			Headers: map[dbus.HeaderField]dbus.Variant{
				dbus.FieldPath:      dbus.MakeVariant(path),
				dbus.FieldInterface: dbus.MakeVariant(iface),
				dbus.FieldMember:    dbus.MakeVariant(member),
			},
			Body: body,
		}
		if s.bus {
			m.Headers[dbus.FieldSender] = dbus.MakeVariant(sender)
		}
		_ = c.write(m)
	}
}
