// SPDX-License-Identifier: MPL-2.0

package fakepid1

import (
	"context"
	"slices"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// Start is a request for a transient unit.
type Start struct {
	Unit, Mode string
	Properties map[string]any
}

// Outcome is how a start goes. The zero value is a program that is executed and
// runs.
type Outcome struct {
	// JobResult is how the start job ends; "" is "done".
	JobResult string
	// ExitStatus is the status of the program if the job does not end well,
	// such as 203 for a failed execve(2).
	ExitStatus int32
	// SignalFirst sends JobRemoved before the reply.
	SignalFirst bool
	// Hold leaves the unit activating until FinishJob.
	Hold bool
}

// Fault is what goes wrong with one call.
type Fault int

const (
	// DropBefore ends the connection instead of performing the call.
	DropBefore Fault = iota + 1
	// DropAfter performs the call and ends the connection instead of replying.
	DropAfter
	// NoReply performs the call and does not reply.
	NoReply
)

// Call is one method call the fake has received.
type Call struct {
	Member string
	Args   []any
}

// OnStart sets how the starts to come go. The function must not call the
// Server.
func (s *Server) OnStart(script func(Start) Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// Effective makes a property of all units read as v, whatever they were started
// with.
func (s *Server) Effective(property string, v any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.effective == nil {
		s.effective = map[string]any{}
	}
	s.effective[property] = v
}

// Fail makes the next call of a method go wrong.
func (s *Server) Fail(member string, fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[member] = fault
}

// Refuse answers the next call of a method with an error.
func (s *Server) Refuse(member, errorName, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals[member] = dbus.NewError(errorName, []any{message})
}

// Calls returns the calls of one method so far, or all if member is "".
func (s *Server) Calls(member string) []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.calls), func(c Call) bool { return member != "" && c.Member != member })
}

// AwaitCalls waits until a method has been called n times.
func (s *Server) AwaitCalls(ctx context.Context, member string, n int) error {
	for {
		s.mu.Lock()
		called := s.called
		s.mu.Unlock()
		if len(s.Calls(member)) >= n {
			return nil
		}
		select {
		case <-called:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Unit returns a unit the fake has now.
func (s *Server) Unit(name string) (*Unit, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.units[name]
	return u, ok
}

// Add makes a unit that nobody started through the fake, running unless the
// values say otherwise. A value replaces the property, whatever its type.
func (s *Server) Add(name string, values map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := newUnit(name)
	s.pids++
	u.begin(s.pids)
	u.executed()
	u.set(values)
	s.units[name] = u
	s.changed(u)
}

// Set changes properties of a unit. A value may have a wrong type.
func (s *Server) Set(name string, values map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.units[name]; u != nil {
		u.set(values)
		s.changed(u)
	}
}

// Exit ends a unit's program with an exit code.
func (s *Server) Exit(name string, code int32) { s.end(name, 1, code) }

// Signal ends a unit's program with a signal it got from elsewhere.
func (s *Server) Signal(name string, sig unix.Signal) { s.end(name, 2, int32(sig)) }

func (s *Server) end(name string, code, status int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.units[name]; u != nil {
		u.ended(code, status)
		s.changed(u)
	}
}

// IgnoreSignal makes a unit's program survive a signal.
func (s *Server) IgnoreSignal(name string, sig unix.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.units[name]; u != nil {
		u.ignored[sig] = true
	}
}

// Remove makes a unit vanish.
func (s *Server) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.units[name]; u != nil {
		s.unload(u)
	}
}

// FinishJob ends the job of a unit whose outcome was to hold.
func (s *Server) FinishJob(name, result string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.units[name]; u != nil {
		s.finish(u, result)
	}
}

// Emit sends any signal as if from sender, which matters on a bus only.
func (s *Server) Emit(sender string, path dbus.ObjectPath, iface, member string, body ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send(sender, path, iface, member, body...)
}

// Announce sends PropertiesChanged of a unit, n times over.
func (s *Server) Announce(name string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.changed(newUnit(name))
	}
}
