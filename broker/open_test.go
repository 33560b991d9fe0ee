// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"testing"

	"google.golang.org/grpc/codes"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// TestRemoveOpensDirectories: what a unit left is opened by its own user, and the
// unit is removed whatever comes of it.
func TestRemoveOpensDirectories(t *testing.T) {
	for name, code := range map[string]int32{"well": 0, "not well": 1} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.server.program = "/usr/bin/env"
			u := w.start("a/1")
			unit := u.GetHandle().GetUnit()
			w.pid1.Exit(unit, 0)
			w.await("a/1", brokerv1.UnitState_UNIT_STATE_EXITED)
			done := make(chan error, 1)
			go func() {
				_, err := w.client.RemoveUnit(w.ctx(), &brokerv1.RemoveUnitRequest{Handle: u.GetHandle(), Open: w.spec("a/1").GetDirectories()})
				done <- err
			}()
			if err := w.pid1.AwaitCalls(w.ctx(), "StartTransientUnit", 2); err != nil {
				t.Fatal(err)
			}
			opener, _ := w.pid1.Calls("StartTransientUnit")[1].Args[0].(string)
			before, _ := w.pid1.Unit(unit)
			now, _ := w.pid1.Unit(opener)
			if now.Started["User"] != before.Started["User"] || now.Started["DynamicUser"] != true {
				t.Errorf("it runs as %v, the unit ran as %v", now.Started["User"], before.Started["User"])
			}
			if users, set := now.Started["PrivateUsers"]; set || now.Started["PrivateNetwork"] != true {
				t.Errorf("PrivateUsers is %v, PrivateNetwork %v: it must run where there are no user namespaces", users, now.Started["PrivateNetwork"])
			}
			select {
			case err := <-done:
				t.Fatalf("the unit is removed before its directories are open: %v", err)
			default:
			}
			w.pid1.Exit(opener, code)
			if err := <-done; err != nil {
				t.Error(err)
			}
			w.vanished(unit)
			w.vanished(opener)
		})
	}
}

func TestOthersDirectoriesAreNotOpened(t *testing.T) {
	w := newWorld(t)
	w.server.program = "/usr/bin/env"
	u := w.start("a/1")
	_, err := w.client.RemoveUnit(w.ctx(), &brokerv1.RemoveUnitRequest{Handle: u.GetHandle(), Open: &brokerv1.Directories{
		Alloc: "/etc", Local: "/etc", Secrets: "/etc/../root",
	}})
	wantCode(t, err, codes.InvalidArgument, "directories.secrets")
	_, err = w.client.RemoveUnit(w.ctx(), &brokerv1.RemoveUnitRequest{Handle: u.GetHandle(), Open: &brokerv1.Directories{
		Alloc: "/etc", Local: "/etc", Secrets: "/root",
	}})
	if err != nil {
		t.Error(err)
	}
	if n := len(w.pid1.Calls("StartTransientUnit")); n != 1 {
		t.Errorf("PID 1 was asked for %d units, want the one", n)
	}
}
