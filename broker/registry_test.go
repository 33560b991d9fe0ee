// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"testing"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

const (
	starting = brokerv1.UnitState_UNIT_STATE_STARTING
	running  = brokerv1.UnitState_UNIT_STATE_RUNNING
	exited   = brokerv1.UnitState_UNIT_STATE_EXITED
	lost     = brokerv1.UnitState_UNIT_STATE_LOST
)

func TestRegistryFollowsAUnit(t *testing.T) {
	active := &systemd.Status{InvocationID: "i1", ActiveState: "active", SubState: "running"}
	stopping := &systemd.Status{InvocationID: "i1", ActiveState: "deactivating", SubState: "stop-sigterm"}
	done := &systemd.Status{InvocationID: "i1", ActiveState: "active", SubState: "exited", Result: "success", ExecMainCode: 1}
	failed := &systemd.Status{InvocationID: "i1", ActiveState: "failed", Result: "exit-code", ExecMainCode: 1, ExecMainStatus: 7}
	other := &systemd.Status{InvocationID: "i2", ActiveState: "active", SubState: "running"}
	tests := []struct {
		name string
		seen []*systemd.Status // nil: PID 1 does not know the unit
		want brokerv1.UnitState
		code int32
	}{
		{"it runs", []*systemd.Status{active}, running, 0},
		{"it is being stopped and runs still", []*systemd.Status{active, stopping}, running, 0},
		{"it ends well", []*systemd.Status{active, done}, exited, 0},
		{"it ends with a code", []*systemd.Status{active, failed}, exited, 7},
		{"an old answer comes after the end", []*systemd.Status{active, failed, active}, exited, 7},
		{"it vanishes after its end", []*systemd.Status{active, failed, nil}, exited, 7},
		{"it vanishes while it runs", []*systemd.Status{active, nil}, lost, 0},
		{"another run has taken its name", []*systemd.Status{active, other}, lost, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newRegistry(&cpuPool{})
			r, first, err := g.reserve((&record{client: "c", id: "id", unit: "u.service"}).begun(), 0, policy.Quota{})
			if err != nil || !first {
				t.Fatal(first, err)
			}
			g.finish(r, tt.seen[0], nil)
			for _, st := range tt.seen[1:] {
				g.update("u.service", st)
			}
			u := g.snapshot(r)
			if u.GetState() != tt.want || u.GetExit().GetCode() != tt.code {
				t.Errorf("got %v code %d, want %v code %d", u.GetState(), u.GetExit().GetCode(), tt.want, tt.code)
			}
			if over(tt.want) != ended(r.ended) {
				t.Errorf("waiters were told: %v, want %v", ended(r.ended), over(tt.want))
			}
		})
	}
}

func TestRegistryHidesAUnitUntilItHasStarted(t *testing.T) {
	g := newRegistry(&cpuPool{})
	r, _, _ := g.reserve((&record{client: "c", id: "id", unit: "u.service"}).begun(), 0, policy.Quota{})
	w := g.watch("c")
	failed := &systemd.Status{InvocationID: "i1", ActiveState: "failed"}
	g.update("u.service", nil)
	if g.update("u.service", failed) || len(g.due(w)) != 0 {
		t.Error("a watcher saw a unit that has not started")
	}
	if _, err := g.find("c", &brokerv1.Handle{Unit: "u.service", InvocationId: "i1"}); err == nil {
		t.Error("a client found a unit that has not started")
	}
	// The unit ended while its start was being read back: nothing is lost.
	active := &systemd.Status{InvocationID: "i1", ActiveState: "active", SubState: "running"}
	if !g.finish(r, active, nil) {
		t.Error("the end of the unit was lost")
	}
	if got := g.due(w); len(got) != 1 || got[0].GetState() != exited {
		t.Errorf("the watcher was sent %v", got)
	}
}

func TestRegistryForgetsAFailedStart(t *testing.T) {
	g := newRegistry(&cpuPool{})
	r, _, _ := g.reserve((&record{client: "c", id: "id", unit: "u.service"}).begun(), 0, policy.Quota{})
	g.finish(r, nil, errNotFound)
	if len(g.names()) != 0 {
		t.Error("the unit is still there")
	}
	if _, first, _ := g.reserve((&record{client: "c", id: "id", unit: "u.service"}).begun(), 0, policy.Quota{}); !first {
		t.Error("its id cannot be tried again")
	}
}

func TestRegistryReservesAnIDOnceForEachClient(t *testing.T) {
	g := newRegistry(&cpuPool{})
	a, _, _ := g.reserve((&record{client: "a", id: "id", unit: "a.service"}).begun(), 1, policy.Quota{})
	if again, first, err := g.reserve((&record{client: "a", id: "id", unit: "a.service"}).begun(), 1, policy.Quota{}); again != a || first || err != nil {
		t.Errorf("the same id gave %v, %v, %v", again, first, err)
	}
	if _, _, err := g.reserve((&record{client: "a", id: "id2", unit: "a2.service"}).begun(), 1, policy.Quota{}); err == nil {
		t.Error("a client went over its limit of units")
	}
	if _, first, err := g.reserve((&record{client: "b", id: "id", unit: "b.service"}).begun(), 1, policy.Quota{}); !first || err != nil {
		t.Errorf("another client is held up: %v", err)
	}
}

func TestRegistryShowsAUnitToItsOwnerAndRunOnly(t *testing.T) {
	g := newRegistry(&cpuPool{})
	r, _, _ := g.reserve((&record{client: "a", id: "id", unit: "u.service"}).begun(), 0, policy.Quota{})
	g.finish(r, &systemd.Status{InvocationID: "i1", ActiveState: "active", SubState: "running"}, nil)
	tests := []struct {
		name, client string
		handle       *brokerv1.Handle
		ok           bool
	}{
		{"the owner", "a", &brokerv1.Handle{Unit: "u.service", InvocationId: "i1"}, true},
		{"another client", "b", &brokerv1.Handle{Unit: "u.service", InvocationId: "i1"}, false},
		{"another run", "a", &brokerv1.Handle{Unit: "u.service", InvocationId: "i2"}, false},
		{"no run", "a", &brokerv1.Handle{Unit: "u.service"}, false},
		{"a unit of the host", "a", &brokerv1.Handle{Unit: "sshd.service", InvocationId: "i1"}, false},
		{"no handle", "a", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := g.find(tt.client, tt.handle); (err == nil) != tt.ok {
				t.Errorf("got %v, want found: %v", err, tt.ok)
			}
		})
	}
	w := g.watch("b")
	g.update("u.service", nil)
	if len(g.due(w)) != 0 {
		t.Error("another client's watcher saw the unit")
	}
}

func TestExitOf(t *testing.T) {
	tests := []struct {
		name         string
		status       systemd.Status
		code, signal int32
		oom          bool
	}{
		{"a code", systemd.Status{Result: "exit-code", ExecMainCode: cldExited, ExecMainStatus: 7}, 7, 0, false},
		{"a signal", systemd.Status{Result: "signal", ExecMainCode: cldKilled, ExecMainStatus: 9}, 0, 9, false},
		{"a core dump", systemd.Status{Result: "core-dump", ExecMainCode: cldDumped, ExecMainStatus: 11}, 0, 11, false},
		{"out of memory", systemd.Status{Result: "oom-kill", ExecMainCode: cldKilled, ExecMainStatus: 9}, 0, 9, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := exitOf(&tt.status)
			if e.GetCode() != tt.code || e.GetSignal() != tt.signal || e.GetOomKilled() != tt.oom {
				t.Errorf("got %v", e)
			}
		})
	}
}
