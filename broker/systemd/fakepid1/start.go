// SPDX-License-Identifier: MPL-2.0

package fakepid1

import (
	"os"
	"strconv"

	"github.com/godbus/dbus/v5"
)

func (s *Server) startTransientUnit(_ *conn, m *dbus.Message) ([]any, func(), *dbus.Error) {
	var name, mode string
	var props []struct {
		Name  string
		Value dbus.Variant
	}
	var aux []struct {
		Name       string
		Properties []struct {
			Name  string
			Value dbus.Variant
		}
	}
	if err := dbus.Store(m.Body, &name, &mode, &props, &aux); err != nil {
		return nil, nil, dbus.MakeFailedError(err)
	}
	if s.units[name] != nil {
		return nil, nil, dbus.NewError("org.freedesktop.systemd1.UnitExists", []any{"Unit " + name + " was already loaded or has a fragment file."})
	}
	u := newUnit(name)
	u.Started = make(map[string]any, len(props))
	for _, p := range props {
		s.assign(u, p.Name, p.Value)
	}
	s.units[name] = u
	u.outcome = s.script(Start{Unit: name, Mode: mode, Properties: u.Started})
	s.pids++
	u.begin(s.pids)
	job := s.queue(u, "start")
	if u.outcome.SignalFirst {
		s.finish(u, u.outcome.JobResult)
		return []any{job}, nil, nil
	}
	return []any{job}, func() {
		if !u.outcome.Hold {
			s.finish(u, u.outcome.JobResult)
		}
	}, nil
}

// setUnitProperties changes properties of a unit that runs.
func (s *Server) setUnitProperties(_ *conn, m *dbus.Message) ([]any, func(), *dbus.Error) {
	u, failure := s.named(m)
	if failure != nil {
		return nil, nil, failure
	}
	var name string
	var runtime bool
	var props []struct {
		Name  string
		Value dbus.Variant
	}
	if err := dbus.Store(m.Body, &name, &runtime, &props); err != nil {
		return nil, nil, dbus.MakeFailedError(err)
	}
	for _, p := range props {
		s.assign(u, p.Name, p.Value)
	}
	return nil, nil, nil
}

// assign keeps one property of a new unit. Those that can be read back keep
// their type.
func (s *Server) assign(u *Unit, name string, sent dbus.Variant) {
	value := sent.Value()
	if fd, ok := value.(dbus.UnixFD); ok {
		f := os.NewFile(uintptr(fd), name)
		u.Files[name] = f
		s.files = append(s.files, f)
		return
	}
	u.Started[name] = value
	u.sent[name] = append(u.sent[name], sent)
	if user, ok := value.(string); ok && name == "User" {
		if uid, err := strconv.ParseUint(user, 10, 32); err == nil {
			u.values["UID"] = uint32(uid)
		}
	}
	if _, ok := u.values[name]; ok {
		u.values[name] = value
	}
}
