// SPDX-License-Identifier: MPL-2.0

package fakepid1

import (
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

const (
	daemon     = "org.freedesktop.DBus"
	daemonPath = dbus.ObjectPath("/org/freedesktop/DBus")
)

// busMethods are those of the bus daemon, and Subscribe, which only clients on
// a bus need.
var busMethods = map[string]method{
	daemon + ".Hello": func(*Server, *conn, *dbus.Message) ([]any, func(), *dbus.Error) {
		return []any{":1.42"}, nil, nil
	},
	daemon + ".AddMatch": func(_ *Server, c *conn, m *dbus.Message) ([]any, func(), *dbus.Error) {
		rule, _ := m.Body[0].(string)
		c.rules = append(c.rules, rule)
		return nil, nil, nil
	},
	daemon + ".GetNameOwner": func(s *Server, _ *conn, _ *dbus.Message) ([]any, func(), *dbus.Error) {
		if s.owner == "" {
			return nil, nil, dbus.NewError(daemon+".Error.NameHasNoOwner", []any{"no such name"})
		}
		return []any{s.owner}, nil, nil
	},
	manager + ".Subscribe": func(_ *Server, c *conn, _ *dbus.Message) ([]any, func(), *dbus.Error) {
		c.ready = true
		return nil, nil, nil
	},
}

// SetOwner changes the unique name of PID 1 on the bus; "" means that PID 1 is
// not on it.
func (s *Server) SetOwner(owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.owner
	s.owner = owner
	s.send(daemon, daemonPath, daemon, "NameOwnerChanged", "org.freedesktop.systemd1", old, owner)
}

// wants tells whether a bus would deliver the signal.
func (c *conn) wants(member string) bool {
	return slices.ContainsFunc(c.rules, func(rule string) bool {
		return strings.Contains(rule, "member='"+member+"'")
	})
}
