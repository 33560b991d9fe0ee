// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"google.golang.org/grpc/codes"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/broker/unit"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// TestRemoveOpensDirectories: what a unit left is opened by its own user, and the
// unit is removed whatever comes of it.
func TestRemoveOpensDirectories(t *testing.T) {
	for name, tt := range map[string]struct {
		code int32
		runs bool
	}{"well": {}, "not well": {code: 1}, "of a unit that runs": {runs: true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.server.program = "/usr/bin/env"
			u := w.start("a/1")
			name := u.GetHandle().GetUnit()
			if !tt.runs {
				w.pid1.Exit(name, 0)
				w.await("a/1", brokerv1.UnitState_UNIT_STATE_EXITED)
			}
			done := make(chan error, 1)
			go func() {
				_, err := w.client.RemoveUnit(w.ctx(), &brokerv1.RemoveUnitRequest{Handle: u.GetHandle(), Open: w.spec("a/1").GetDirectories()})
				done <- err
			}()
			if err := w.pid1.AwaitCalls(w.ctx(), "StartTransientUnit", 2); err != nil {
				t.Fatal(err)
			}
			if kills := w.pid1.Calls("KillUnit"); tt.runs && (len(kills) == 0 || kills[0].Args[1] != string(systemd.All)) {
				t.Errorf("the directories of a unit are opened while it runs; sent are %v", kills)
			}
			opener, _ := w.pid1.Calls("StartTransientUnit")[1].Args[0].(string)
			before, _ := w.pid1.Unit(name)
			now, _ := w.pid1.Unit(opener)
			if now.Started["User"] != before.Started["User"] || now.Started["DynamicUser"] != true {
				t.Errorf("it runs as %v, the unit ran as %v", now.Started["User"], before.Started["User"])
			}
			if users, set := now.Started["PrivateUsers"]; set || now.Started["PrivateNetwork"] != true {
				t.Errorf("PrivateUsers is %v, PrivateNetwork %v: it must run where there are no user namespaces", users, now.Started["PrivateNetwork"])
			}
			if to := w.mounts.mappedTo(opener); to != nil {
				t.Errorf("its directories are mapped to %+v: what it is to open would be nobody's", to)
			}
			select {
			case err := <-done:
				t.Fatalf("the unit is removed before its directories are open: %v", err)
			default:
			}
			w.pid1.Exit(opener, tt.code)
			if err := <-done; err != nil {
				t.Error(err)
			}
			w.vanished(name)
			w.vanished(opener)
		})
	}
}

// TestRemoveOpensWhatAFailedUnitLeft: of which PID 1 says no longer who it ran as, nor
// had it said before if the unit failed at once.
func TestRemoveOpensWhatAFailedUnitLeft(t *testing.T) {
	w := newWorld(t)
	w.server.program = "/usr/bin/env"
	for _, user := range []string{"alice", ""} {
		spec := w.spec("a/" + user)
		spec.User = user
		resp, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: spec})
		if err != nil {
			t.Fatal(err)
		}
		h := resp.GetUnit().GetHandle()
		w.pid1.Exit(h.GetUnit(), 1)
		w.await(spec.GetId(), brokerv1.UnitState_UNIT_STATE_EXITED)
		w.server.units.mu.Lock()
		uid := w.server.units.byUnit[h.GetUnit()].status.UID
		w.server.units.mu.Unlock()
		before := len(w.pid1.Calls("StartTransientUnit"))
		done := make(chan error, 1)
		go func() {
			_, err := w.client.RemoveUnit(w.ctx(), &brokerv1.RemoveUnitRequest{Handle: h, Open: spec.GetDirectories()})
			done <- err
		}()
		if err := w.pid1.AwaitCalls(w.ctx(), "StartTransientUnit", before+1); err != nil {
			t.Fatal(err)
		}
		opener, _ := w.pid1.Calls("StartTransientUnit")[before].Args[0].(string)
		now, _ := w.pid1.Unit(opener)
		if args := fmt.Sprint(now.Started["ExecStart"]); !strings.Contains(args, fmt.Sprint("open ", uid)) || uid == systemd.NoUID {
			t.Errorf("for user %q it is opened as uid %d: %s", user, uid, args)
		}
		if got := now.Started["User"]; user == "alice" && got != "2001" {
			t.Errorf("it runs as %v, want alice", got)
		}
		w.pid1.Exit(opener, 0)
		if err := <-done; err != nil {
			t.Error(err)
		}
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
	if os.Getuid() != 0 {
		return // only root can give a directory away
	}
	u, dirs := w.start("a/2"), w.spec("a/2").GetDirectories()
	if err := os.Chown(dirs.GetSecrets(), 0, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.RemoveUnit(w.ctx(), &brokerv1.RemoveUnitRequest{Handle: u.GetHandle(), Open: dirs}); err != nil {
		t.Error(err)
	}
	if n := len(w.pid1.Calls("StartTransientUnit")); n != 2 {
		t.Errorf("PID 1 was asked for %d units, want the two", n)
	}
}

// TestRemoveOpensWhatAGoneUnitLeft: as a user that the policy allows, or an ephemeral one
// whose uid nobody has, in whose name nothing else can be done.
func TestRemoveOpensWhatAGoneUnitLeft(t *testing.T) {
	const taken, used = 62001, 62002
	for name, tt := range map[string]struct {
		uid  uint32
		user string // of the unit that opens; empty if there is none
	}{
		"a user of the policy":      {2001, "2001"},
		"another user":              {2002, ""},
		"root":                      {0, ""},
		"an ephemeral user":         {62000, "ephemeral"},
		"a uid that a unit has":     {used, ""},
		"a uid that somebody has":   {taken, ""},
		"nothing of it in the view": {65534, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.server.program, w.server.dynamicUIDs = "/usr/bin/env", t.TempDir()
			w.allocates(taken)
			w.server.units.mu.Lock()
			w.server.units.insertLocked((&record{client: "nomad", id: "x", unit: "x", mapped: used}).begun())
			w.server.units.mu.Unlock()
			done := make(chan error, 1)
			go func() {
				_, err := w.client.RemoveUnit(w.ctx(), &brokerv1.RemoveUnitRequest{
					Handle: &brokerv1.Handle{Unit: "nomad-web-0123456789abcdef.service", InvocationId: "0123456789abcdef0123456789abcdef"},
					Open:   w.spec("a/1").GetDirectories(), OpenUid: tt.uid,
				})
				done <- err
			}()
			if tt.user == "" {
				if err := <-done; err != nil {
					t.Error(err)
				}
				if n := len(w.pid1.Calls("StartTransientUnit")); n != 0 {
					t.Errorf("PID 1 was asked for %d units", n)
				}
				return
			}
			if err := w.pid1.AwaitCalls(w.ctx(), "StartTransientUnit", 1); err != nil {
				t.Fatal(err)
			}
			opener, _ := w.pid1.Calls("StartTransientUnit")[0].Args[0].(string)
			now, _ := w.pid1.Unit(opener)
			user, _ := now.Started["User"].(string)
			if user != tt.user && (tt.user != "ephemeral" || unit.DynamicUID(user) != tt.uid || now.Started["DynamicUser"] != true) {
				t.Errorf("it runs as %q, want %s with uid %d", user, tt.user, tt.uid)
			}
			w.pid1.Exit(opener, 0)
			if err := <-done; err != nil {
				t.Error(err)
			}
			w.vanished(opener)
		})
	}
}

// TestPolicyThatDeniesAUserLetsItsDirectoriesBeOpened, while there is the unit that
// proves that it ran as this user.
func TestPolicyThatDeniesAUserLetsItsDirectoriesBeOpened(t *testing.T) {
	w := newWorld(t)
	w.server.program = "/usr/bin/env"
	spec := w.spec("a/1")
	spec.User = "alice"
	started, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(strings.Replace(testPolicy, `users        = ["alice"]`, "", 1), "ALLOC", w.alloc)
	p, err := policy.Load(fstest.MapFS{"p.hcl": {Data: []byte(text)}}, twoUsers{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.server.SetPolicy(w.ctx(), p); err != nil {
		t.Fatal(err)
	}
	w.pid1.Exit(started.GetUnit().GetHandle().GetUnit(), 0)
	done := make(chan error, 1)
	go func() {
		_, err := w.client.RemoveUnit(w.ctx(), &brokerv1.RemoveUnitRequest{Handle: started.GetUnit().GetHandle(), Open: spec.GetDirectories(), KeepAlloc: true})
		done <- err
	}()
	if err := w.pid1.AwaitCalls(w.ctx(), "StartTransientUnit", 2); err != nil {
		t.Fatal(err)
	}
	opener, _ := w.pid1.Calls("StartTransientUnit")[1].Args[0].(string)
	now, _ := w.pid1.Unit(opener)
	if now.Started["User"] != "2001" || now.Started["Group"] != "65534" {
		t.Errorf("it runs as %v:%v, want alice without her groups", now.Started["User"], now.Started["Group"])
	}
	if args := fmt.Sprint(now.Started["ExecStart"]); strings.Contains(args, "/alloc") || !strings.Contains(args, "/secrets") {
		t.Errorf("what another unit uses is to be opened: %s", args)
	}
	w.pid1.Exit(opener, 0)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
