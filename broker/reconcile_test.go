// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/broker/systemd/fakepid1"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// stricter is the tests' policy with what is replaced in it.
func (w *world) stricter(replace ...string) *policy.Policy {
	w.t.Helper()
	text := strings.NewReplacer(append(replace, "ALLOC", w.alloc)...).Replace(testPolicy)
	p, err := policy.Load(fstest.MapFS{"p.hcl": {Data: []byte(text)}}, twoUsers{}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// withoutAlice lets tasks have ephemeral uids only.
func (w *world) withoutAlice() *policy.Policy {
	return w.stricter(`users        = ["alice"]`, "")
}

func (w *world) startAsAlice(id string) *brokerv1.Unit {
	w.t.Helper()
	s := w.logged(id)
	s.Spec.User, s.Spec.Args, s.Spec.Env = "alice", []string{"canary-arg"}, map[string]string{"SECRET": "canary-env"}
	resp, err := w.client.StartUnit(w.ctx(), s)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetUnit()
}

// requests are the kept ones, by unit.
func (w *world) requests() map[string]string {
	w.t.Helper()
	dir := filepath.Join(w.run, requestsDir)
	files, err := os.ReadDir(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	all := make(map[string]string)
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			w.t.Fatal(err)
		}
		all[f.Name()] = string(text)
	}
	return all
}

func (w *world) reconciler(p *policy.Policy) *Reconciler {
	w.t.Helper()
	conn, err := systemd.Dial(w.ctx(), systemd.Options{PrivatePath: w.pid1.SocketPath(), BusPath: "/nonexistent"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return &Reconciler{Systemd: conn, Policy: p, RuntimeDir: w.run, Audit: &w.audit}
}

func TestRequestIsKeptAsLongAsItsUnit(t *testing.T) {
	w := newWorld(t)
	u := w.startAsAlice("a/1")
	name := u.GetHandle().GetUnit()
	text := w.requests()[name]
	if !strings.Contains(text, "alice") || !strings.Contains(text, "canary-arg") || strings.Contains(text, "canary-env") || strings.Contains(text, "fdToken") {
		t.Errorf("kept is %s", text)
	}
	info, err := os.Stat(filepath.Join(w.run, requestsDir, name))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has the mode %v, %v", info.Mode(), err)
	}
	dir, err := os.Stat(filepath.Join(w.run, requestsDir))
	if err != nil || dir.Mode().Perm() != 0o700 {
		t.Errorf("the directory has the mode %v, %v", dir.Mode(), err)
	}
	w.stop()
	w.boot(w.policy())
	t.Cleanup(func() { w.stop() })
	if w.requests()[name] != text {
		t.Error("a restart of the broker loses it")
	}
	if _, err := w.client.RemoveUnit(w.ctx(), &brokerv1.RemoveUnitRequest{Handle: u.GetHandle()}); err != nil {
		t.Fatal(err)
	}
	w.pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{JobResult: "failed", ExitStatus: 203} })
	wantCode(t, w.tryStart("a/2"), codes.FailedPrecondition, "")
	if left := w.requests(); len(left) != 0 {
		t.Errorf("left is %v", left)
	}
}

// TestRequestsOfUnitsThatAreGoneAreCleared, and no others, whatever the policy.
func TestRequestsOfUnitsThatAreGoneAreCleared(t *testing.T) {
	w := newWorld(t)
	gone, stays := w.startAsAlice("a/1").GetHandle().GetUnit(), w.startAsAlice("a/2").GetHandle().GetUnit()
	w.stop()
	w.pid1.Remove(gone)
	w.boot(policy.DenyAll())
	t.Cleanup(func() { w.stop() })
	if left := w.requests(); len(left) != 1 || left[stays] == "" {
		t.Errorf("left is %v", left)
	}
}

func TestNewPolicyTellsOfUnitsItWouldRefuse(t *testing.T) {
	w := newWorld(t)
	name := w.startAsAlice("a/1").GetHandle().GetUnit()
	w.start("a/2")
	over := w.startAsAlice("a/3").GetHandle().GetUnit()
	w.pid1.Exit(over, 0)
	w.await("a/3", exited)
	set := func(p *policy.Policy) {
		t.Helper()
		if err := w.server.SetPolicy(w.ctx(), p); err != nil {
			t.Fatal(err)
		}
	}
	set(w.policy())
	set(policy.DenyAll()) // one that could not be loaded says nothing
	if told := w.audit.of(eventUnitUnwanted); len(told) != 0 {
		t.Errorf("told is %v", told)
	}
	set(w.withoutAlice())
	r := w.audit.one(t, eventUnitUnwanted)
	if r["BROKER_UNIT"] != name || !strings.Contains(r["BROKER_REASON"], `user "alice"`) || r["BROKER_POLICY_SHA256"] != w.withoutAlice().SHA256() {
		t.Errorf("told is %v", r)
	}
	w.stop()
	w.boot(w.withoutAlice())
	t.Cleanup(func() { w.stop() })
	if told := w.audit.of(eventUnitUnwanted); len(told) != 2 {
		t.Errorf("a broker that starts tells %v", told)
	}
}

func TestReconcileListsAndEndsWhatThePolicyWouldRefuse(t *testing.T) {
	w := newWorld(t)
	refused, stubborn := w.startAsAlice("a/1").GetHandle().GetUnit(), w.startAsAlice("a/2").GetHandle().GetUnit()
	allowed := w.start("a/3").GetHandle().GetUnit()
	w.pid1.IgnoreSignal(stubborn, unix.SIGTERM)
	w.pid1.Add("nomad-other-0123456789abcdef.service", nil) // not the broker's

	if all, err := w.reconciler(w.policy()).Differences(w.ctx()); err != nil || len(all) != 0 {
		t.Errorf("with the policy of their start: %v, %v", all, err)
	}
	c := w.reconciler(w.withoutAlice())
	all, err := c.Differences(w.ctx())
	if err != nil || len(all) != 2 {
		t.Fatalf("got %v, %v", all, err)
	}
	for _, d := range all {
		if !d.Refused || !strings.Contains(d.Reason, `user "alice"`) || d.Client != "nomad" || d.Labels["NOMAD_ALLOC_ID"] == "" {
			t.Errorf("got %+v", d)
		}
	}
	if n := len(w.pid1.Calls("KillUnit")); n != 0 {
		t.Errorf("a list kills %d units", n)
	}
	if err := c.End(w.ctx(), all, 200*time.Millisecond); err != nil {
		t.Error(err)
	}
	for _, id := range []string{"a/1", "a/2"} {
		w.await(id, exited) // and its client can read how
	}
	for _, c := range w.pid1.Calls("KillUnit") {
		if c.Args[0] == allowed {
			t.Error("the unit that is allowed was killed")
		}
	}
	var stopped []string
	for _, r := range w.audit.of(eventUnitStopped) {
		stopped = append(stopped, r["BROKER_UNIT"])
		if !strings.Contains(r["BROKER_REASON"], "--enforce") {
			t.Errorf("on record is %v", r)
		}
	}
	slices.Sort(stopped)
	want := []string{refused, stubborn}
	slices.Sort(want)
	if !slices.Equal(stopped, want) {
		t.Errorf("on record are %v", stopped)
	}
}

// TestUnitOfWhichNothingIsKeptIsNotEnded: whether it is allowed cannot be told.
func TestUnitOfWhichNothingIsKeptIsNotEnded(t *testing.T) {
	for name, text := range map[string]string{"missing": "", "broken": "{", "of another unit": "a/9"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			unit := w.startAsAlice("a/1").GetHandle().GetUnit()
			path := filepath.Join(w.run, requestsDir, unit)
			kept := w.requests()[unit]
			err := os.Remove(path)
			switch text {
			case "":
			case "a/9":
				text = strings.ReplaceAll(kept, "a/1", text)
				fallthrough
			default:
				err = os.WriteFile(path, []byte(text), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			c := w.reconciler(w.withoutAlice())
			all, err := c.Differences(w.ctx())
			if err != nil || len(all) != 1 || all[0].Refused || all[0].Reason == "" {
				t.Errorf("got %v, %v", all, err)
			}
			if err := c.End(w.ctx(), all, 0); err != nil {
				t.Error(err)
			}
			if n := len(w.pid1.Calls("KillUnit")); n != 0 {
				t.Errorf("%d units were killed", n)
			}
		})
	}
}

func TestClientThatIsGoneIsNotAllowed(t *testing.T) {
	w := newWorld(t)
	w.start("a/1")
	all, err := w.reconciler(w.stricter(`client "nomad"`, `client "other"`, `client = "nomad"`, `client = "other"`)).Differences(w.ctx())
	if err != nil || len(all) != 1 || !all[0].Refused || !strings.Contains(all[0].Reason, `client "nomad"`) {
		t.Errorf("got %v, %v", all, err)
	}
}

// TestRequestThatCannotBeKeptIsNotStarted: what runs can be compared with the next
// policy.
func TestRequestThatCannotBeKeptIsNotStarted(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(w.run, requestsDir)
	if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := w.tryStart("a/1"); err == nil {
		t.Error("it is started")
	}
	if n := len(w.pid1.Calls("StartTransientUnit")); n != 0 {
		t.Errorf("PID 1 was asked to start %d units", n)
	}
}
