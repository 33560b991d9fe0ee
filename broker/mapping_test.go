// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"google.golang.org/grpc/codes"

	"nomad-systemd-driver/broker/unit"
)

// allocates has somebody else on the host have uid.
func (w *world) allocates(uid uint32) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.server.dynamicUIDs, strconv.FormatUint(uint64(uid), 10)), nil, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// TestUnitWhoseUIDIsTakenHasAnother, by another name, to which its directories are
// mapped; and its sessions have the same, whichever broker starts them.
func TestUnitWhoseUIDIsTakenHasAnother(t *testing.T) {
	w := newWorld(t)
	w.server.dynamicUIDs = t.TempDir()
	for salt := range 2 {
		w.allocates(unit.DynamicUID(unit.DynamicUserName("nomad", "a/1", salt)))
	}
	u := w.start("a/1")
	want := unit.DynamicUserName("nomad", "a/1", 2)
	fake, _ := w.pid1.Unit(u.GetHandle().GetUnit())
	if fake.Started["User"] != want {
		t.Errorf("it runs as %v, want %s", fake.Started["User"], want)
	}
	if to := w.mounts.mappedTo(u.GetHandle().GetUnit()); to == nil || to.UID != unit.DynamicUID(want) {
		t.Errorf("its directories are mapped to %+v, want the uid of %s", to, want)
	}
	w.stop()
	w.boot(w.policy())
	ctx, cancel := context.WithCancel(w.ctx())
	name, done := w.begin(ctx, w.session(u))
	session, _ := w.pid1.Unit(name)
	cancel()
	if err := <-done; err == nil {
		t.Error("a session that was cancelled ended well")
	}
	if session.Started["User"] != want {
		t.Errorf("its session runs as %v, want %s", session.Started["User"], want)
	}
	if to := w.mounts.mappedTo(name); to == nil || to.UID != unit.DynamicUID(want) {
		t.Errorf("the directories of its session are mapped to %+v", to)
	}
}

// TestNoUIDIsFree: the answer says what to do, and that trying again may help.
func TestNoUIDIsFree(t *testing.T) {
	w := newWorld(t)
	w.server.dynamicUIDs = t.TempDir()
	for uid := range uint32(unit.DynamicUIDs) {
		w.allocates(61184 + uid)
	}
	wantCode(t, w.tryStart("a/1"), codes.ResourceExhausted, "all 4336 uids that systemd has for tasks without a user (61184 to 65519) are taken; stop tasks, or set user")
	if n := len(w.pid1.Calls("StartTransientUnit")); n != 0 {
		t.Errorf("PID 1 was asked for %d units", n)
	}
	if err := os.Remove(filepath.Join(w.server.dynamicUIDs, "63000")); err != nil {
		t.Fatal(err)
	}
	u := w.start("a/1")
	if to := w.mounts.mappedTo(u.GetHandle().GetUnit()); to == nil || to.UID != 63000 {
		t.Errorf("its directories are mapped to %+v, want the one uid that is free", to)
	}
}

// TestUIDIsClaimedOnce: two starts at once do not get the same, nor a start one that
// systemd has refused.
func TestUIDIsClaimedOnce(t *testing.T) {
	g := newRegistry(nil)
	first := &record{unit: "a", client: "c", id: "1"}
	g.insertLocked(first)
	if !g.claimUser(first, "one", 62000) || g.claimUser(&record{}, "two", 62000) || !g.claimUser(&record{}, "three", 62001) {
		t.Error("a uid was claimed by two units, or a free one by none")
	}
	g.avoid(62002)
	if g.claimUser(&record{}, "four", 62002) {
		t.Error("a uid was claimed that systemd does not give")
	}
}

// TestSessionIsMappedAsItsUnit: or what one of them makes would be nobody's to the
// other, and to the client.
func TestSessionIsMappedAsItsUnit(t *testing.T) {
	for name, unmapped := range map[string]bool{"mapped": false, "not mapped": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mounts.unmapped = unmapped
			u := w.start("a/1")
			w.stop()
			w.mounts.unmapped = !unmapped
			w.boot(w.policy()) // which knows it from the unit
			if !unmapped {
				wantCode(t, w.exec(w.ctx(), w.session(u)), codes.FailedPrecondition, "no user namespace left (sysctl user.max_user_namespaces)")
				if staged, _ := w.mounts.Staged(); len(staged) != 0 || len(w.pid1.Calls("StartTransientUnit")) != 1 {
					t.Errorf("of the session that was refused there are mounts %v, or a unit", staged)
				}
				w.mounts.unmapped = false // and if there is one again it runs
			}
			ctx, cancel := context.WithCancel(w.ctx())
			session, done := w.begin(ctx, w.session(u))
			cancel()
			if err := <-done; err == nil {
				t.Error("a session that was cancelled ended well")
			}
			if to := w.mounts.mappedTo(session); (to == nil) != unmapped {
				t.Errorf("the directories of the session are mapped to %+v", to)
			}
		})
	}
}
