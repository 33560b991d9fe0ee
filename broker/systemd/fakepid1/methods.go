// SPDX-License-Identifier: MPL-2.0

package fakepid1

import (
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/systemd/unitpath"
)

const (
	manager    = "org.freedesktop.systemd1.Manager"
	properties = "org.freedesktop.DBus.Properties"
)

// method answers one call: the body of the reply, and what to do after it.
type method func(s *Server, c *conn, m *dbus.Message) (body []any, after func(), err *dbus.Error)

// methods are all the fake has.
var methods = map[string]method{
	properties + ".Get":              (*Server).get,
	properties + ".GetAll":           (*Server).getAll,
	manager + ".GetUnit":             (*Server).getUnit,
	manager + ".StartTransientUnit":  (*Server).startTransientUnit,
	manager + ".StopUnit":            (*Server).stopUnit,
	manager + ".KillUnit":            (*Server).killUnit,
	manager + ".ResetFailedUnit":     (*Server).resetFailedUnit,
	manager + ".ListUnitsByPatterns": (*Server).listUnits,
	manager + ".SetUnitProperties":   (*Server).setUnitProperties,
}

var errNoUnit = dbus.NewError("org.freedesktop.systemd1.NoSuchUnit", []any{"Unit not loaded."})

// handle performs one call under the server's mutex: PID 1 does one thing at a
// time.
func (s *Server) handle(c *conn, m *dbus.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	iface, _ := m.Headers[dbus.FieldInterface].Value().(string)
	member, _ := m.Headers[dbus.FieldMember].Value().(string)
	s.calls = append(s.calls, Call{member, m.Body})
	close(s.called)
	s.called = make(chan struct{})

	fault := s.faults[member]
	delete(s.faults, member)
	if fault == DropBefore {
		_ = c.sock.Close()
		return
	}
	do := methods[iface+"."+member]
	if do == nil && s.bus {
		do = busMethods[iface+"."+member]
	}
	body, after, failure := s.perform(do, member, c, m)
	switch fault {
	case DropAfter:
		_ = c.sock.Close()
	case NoReply:
	default:
		_ = c.write(s.reply(m, body, failure))
	}
	if after != nil {
		after()
	}
}

func (s *Server) perform(do method, member string, c *conn, m *dbus.Message) ([]any, func(), *dbus.Error) {
	if refusal := s.refusals[member]; refusal != nil {
		delete(s.refusals, member)
		return nil, nil, refusal
	}
	if do == nil {
		return nil, nil, dbus.NewError("org.freedesktop.DBus.Error.UnknownMethod", []any{"Unknown method " + member})
	}
	return do(s, c, m)
}

func (s *Server) reply(call *dbus.Message, body []any, failure *dbus.Error) *dbus.Message {
	m := &dbus.Message{
		Type:    dbus.TypeMethodReply,
		Headers: map[dbus.HeaderField]dbus.Variant{dbus.FieldReplySerial: dbus.MakeVariant(call.Serial())},
		Body:    body,
	}
	if failure != nil {
		m.Type, m.Body = dbus.TypeError, failure.Body
		m.Headers[dbus.FieldErrorName] = dbus.MakeVariant(failure.Name)
	}
	return m
}

func (s *Server) get(_ *conn, m *dbus.Message) ([]any, func(), *dbus.Error) {
	var iface, name string
	if err := dbus.Store(m.Body, &iface, &name); err != nil {
		return nil, nil, dbus.MakeFailedError(err)
	}
	object, _ := m.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	if name == "Version" {
		return []any{dbus.MakeVariant("252.39-1~deb12u1")}, nil, nil
	}
	if name == "Features" {
		return []any{dbus.MakeVariant("+PAM +APPARMOR +SECCOMP -BPF_FRAMEWORK default-hierarchy=unified")}, nil, nil
	}
	values, after, err := s.properties(object)
	if err != nil {
		return nil, nil, err
	}
	v, ok := values[name]
	if !ok {
		return nil, nil, dbus.NewError("org.freedesktop.DBus.Error.UnknownProperty", []any{"Unknown property " + name})
	}
	return []any{v}, after, nil
}

// getAll answers for all interfaces, whatever it is asked for.
func (s *Server) getAll(_ *conn, m *dbus.Message) ([]any, func(), *dbus.Error) {
	object, _ := m.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	values, after, err := s.properties(object)
	return []any{values}, after, err
}

// properties are those of a unit. systemd has some for every unit.
func (s *Server) properties(object dbus.ObjectPath) (map[string]dbus.Variant, func(), *dbus.Error) {
	unit, ok := unitpath.Unit(object)
	if !ok {
		return nil, nil, dbus.NewError("org.freedesktop.DBus.Error.UnknownObject", []any{"Unknown object " + string(object)})
	}
	plain, all, after := defaults(), make(map[string]dbus.Variant), func() {}
	if u := s.units[unit]; u != nil {
		plain = u.values
		for name := range u.sent {
			name = strings.TrimSuffix(name, "Scale")
			if v, ok := u.readSent(name); ok {
				all[name] = v
			}
		}
		u.addUnset(all)
	} else {
		// systemd loads a stub to answer, and drops it at once.
		plain["LoadState"] = "not-found"
		after = func() { s.emit(manager, "UnitRemoved", "", unit, unitpath.Of(unit)) }
	}
	for _, values := range []map[string]any{plain, s.effective} {
		for name, v := range values {
			all[name] = dbus.MakeVariant(v)
		}
	}
	return all, after, nil
}

func (s *Server) getUnit(_ *conn, m *dbus.Message) ([]any, func(), *dbus.Error) {
	u, err := s.named(m)
	if err != nil {
		return nil, nil, err
	}
	return []any{unitpath.Of(u.Name)}, nil, nil
}

// named returns the unit that the first argument names.
func (s *Server) named(m *dbus.Message) (*Unit, *dbus.Error) {
	name, _ := m.Body[0].(string)
	if u := s.units[name]; u != nil {
		return u, nil
	}
	return nil, errNoUnit
}

func (s *Server) stopUnit(_ *conn, m *dbus.Message) ([]any, func(), *dbus.Error) {
	u, err := s.named(m)
	if err != nil {
		return nil, nil, err
	}
	if u.job != 0 {
		s.finish(u, "canceled")
	}
	job := s.queue(u, "stop")
	return []any{job}, func() { s.finish(u, "done") }, nil
}

func (s *Server) killUnit(_ *conn, m *dbus.Message) ([]any, func(), *dbus.Error) {
	u, err := s.named(m)
	if err != nil {
		return nil, nil, err
	}
	who, _ := m.Body[1].(string)
	number, _ := m.Body[2].(int32)
	if !u.running() {
		if who == "main" {
			return nil, nil, dbus.NewError("org.freedesktop.systemd1.NoSuchProcess", []any{"No main process to kill"})
		}
		return nil, nil, nil
	}
	sig := unix.Signal(number)
	if fatal := []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGKILL}; !slices.Contains(fatal, sig) || u.ignored[sig] {
		return nil, nil, nil
	}
	return nil, func() {
		u.ended(2, number)
		s.changed(u)
	}, nil
}

func (s *Server) resetFailedUnit(_ *conn, m *dbus.Message) ([]any, func(), *dbus.Error) {
	u, err := s.named(m)
	if err != nil {
		return nil, nil, err
	}
	return nil, func() {
		if u.values["ActiveState"] == "failed" {
			u.set(map[string]any{"ActiveState": "inactive", "SubState": "dead"})
			s.unload(u)
		}
	}, nil
}

// row is one entry of ListUnitsByPatterns, (ssssssouso).
type row struct {
	Name, Description, Load, Active, Sub, Following string
	Path                                            dbus.ObjectPath
	Job                                             uint32
	JobType                                         string
	JobPath                                         dbus.ObjectPath
}

func (s *Server) listUnits(_ *conn, m *dbus.Message) ([]any, func(), *dbus.Error) {
	var states, patterns []string
	if err := dbus.Store(m.Body, &states, &patterns); err != nil {
		return nil, nil, dbus.MakeFailedError(err)
	}
	rows := []row{}
	for name, u := range s.units {
		for _, p := range patterns {
			if ok, _ := path.Match(p, name); ok {
				load, _ := u.values["LoadState"].(string)
				active, _ := u.values["ActiveState"].(string)
				rows = append(rows, row{Name: name, Load: load, Active: active, Path: unitpath.Of(name), JobPath: "/"})
				break
			}
		}
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i].Name < rows[j].Name })
	return []any{rows}, nil, nil
}
