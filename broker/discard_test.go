// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"nomad-systemd-driver/broker/systemd/fakepid1"
	"nomad-systemd-driver/broker/unit"
)

// TestSessionThatCannotBeRemovedAtOnceIsRemovedLater: whatever PID 1 fails to do
// once, the session does not go on for ever.
func TestSessionThatCannotBeRemovedAtOnceIsRemovedLater(t *testing.T) {
	tests := []struct {
		name  string
		wrong func(*fakepid1.Server)
	}{
		{"the kill fails", func(p *fakepid1.Server) { p.Refuse("KillUnit", "org.example.Failed", "no") }},
		{"the kill is lost", func(p *fakepid1.Server) { p.Fail("KillUnit", fakepid1.DropBefore) }},
		{"the stop fails", func(p *fakepid1.Server) { p.Refuse("StopUnit", "org.example.Failed", "no") }},
		{"the stop is lost", func(p *fakepid1.Server) { p.Fail("StopUnit", fakepid1.DropBefore) }},
		{"the reset fails", func(p *fakepid1.Server) { p.Refuse("ResetFailedUnit", "org.example.Failed", "no") }},
		{"all fail", func(p *fakepid1.Server) {
			for _, member := range []string{"KillUnit", "StopUnit", "ResetFailedUnit"} {
				p.Refuse(member, "org.example.Failed", "no")
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			ctx, cancel := context.WithCancel(w.ctx())
			name, answer := w.begin(ctx, w.session(w.start("a/1")))
			tt.wrong(w.pid1)
			cancel()
			wantCode(t, <-answer, codes.Canceled, "")
			w.vanished(name)
			w.start("a/2") // its place in the quota is free
			w.start("a/3")
		})
	}
}

// vanished waits until PID 1 and the broker have nothing of the unit any more.
func (w *world) vanished(unit string) {
	w.t.Helper()
	ctx := w.ctx()
	for w.server.units.known(unit) {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			w.t.Fatalf("the broker has %s still", unit)
		}
	}
	if _, ok := w.pid1.Unit(unit); ok {
		w.t.Errorf("PID 1 has %s still", unit)
	}
}

// TestNewBrokerEndsSessionsOfFormerClients: the policy dropped or renamed them
// meanwhile. What else there is stays as it is.
func TestNewBrokerEndsSessionsOfFormerClients(t *testing.T) {
	const id = "a/1/session"
	session := []string{"BROKER_CLIENT=former", "BROKER_UNIT_ID=" + id, "BROKER_SESSION_OF=former-x.service"}
	tests := []struct {
		name, unit string
		fields     []string
		stays      bool
	}{
		{"a session of a client that is gone", unit.Name("former", []string{"web", "exec"}, id), session, false},
		{"a session of a client with a new name", unit.Name("nomad", []string{"web", "exec"}, id), session, false},
		{"a task of a client that is gone", unit.Name("former", []string{"web"}, id), session[:2], true},
		{"a unit whose name is not of its id", unit.Name("former", []string{"web"}, "other"), session, true},
		{"a unit of the host", "former-web.service", session, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.stop()
			var fields [][]byte
			for _, f := range tt.fields {
				fields = append(fields, []byte(f))
			}
			w.pid1.Add(tt.unit, map[string]any{"LogExtraFields": fields})
			w.boot(w.policy())
			w.stop() // it waits for what goes on in the background
			if _, ok := w.pid1.Unit(tt.unit); ok != tt.stays {
				t.Errorf("PID 1 has it: %v, want %v", ok, tt.stays)
			}
		})
	}
}
