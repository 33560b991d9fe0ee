// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"nomad-systemd-driver/broker/systemd/fakepid1"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// hold has PID 1 leave starts unfinished, and the broker lose patience with them.
func (w *world) hold() {
	w.pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{Hold: true} })
	w.server.startTimeout = time.Second // PID 1 is asked before, also on a machine that is busy
}

// resume ends what hold began.
func (w *world) resume() {
	w.pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{} })
	w.server.startTimeout = startTimeout
}

func (w *world) tryStart(id string) error {
	_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: w.spec(id)})
	return err
}

func TestUnitWhoseStartHasNoKnownOutcomeIsRemoved(t *testing.T) {
	w := newWorld(t)
	w.hold()
	wantCode(t, w.tryStart("a/1"), codes.Unavailable, "outcome unknown")
	calls := w.pid1.Calls("StartTransientUnit")
	unit, _ := calls[0].Args[0].(string)
	w.vanished(unit)
	w.resume()
	if err := w.tryStart("a/1"); err != nil {
		t.Errorf("the id cannot be used again: %v", err)
	}
}

// TestUnitThatMayRunKeepsItsIDAndItsPlace until it is removed, which takes a
// while here: PID 1 does not answer.
func TestUnitThatMayRunKeepsItsIDAndItsPlace(t *testing.T) {
	w := newWorld(t)
	w.start("a/2")
	w.start("a/3")
	w.hold()
	w.pid1.Fail("KillUnit", fakepid1.NoReply)
	wantCode(t, w.tryStart("a/1"), codes.Unavailable, "outcome unknown")
	w.resume()
	wantCode(t, w.tryStart("a/1"), codes.Unavailable, "being removed; try again")
	wantCode(t, w.tryStart("a/4"), codes.ResourceExhausted, "max_units")
	if list, err := w.client.ListUnits(w.ctx(), &brokerv1.ListUnitsRequest{}); err != nil || len(list.GetUnits()) != 2 {
		t.Errorf("the client sees %v, %v; want the two units that started", list.GetUnits(), err)
	}
	if err := w.pid1.AwaitCalls(w.ctx(), "KillUnit", 1); err != nil {
		t.Fatal(err)
	}
	w.pid1.Disconnect()
	for _, c := range w.pid1.Calls("StartTransientUnit")[2:] {
		name, _ := c.Args[0].(string)
		w.vanished(name)
	}
	if err := w.tryStart("a/1"); err != nil {
		t.Errorf("the id cannot be used again: %v", err)
	}
}

func TestSessionWhoseStartHasNoKnownOutcomeIsRemoved(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	w.hold()
	name, answer := w.begin(w.ctx(), w.session(u))
	wantCode(t, <-answer, codes.Unavailable, "outcome unknown")
	w.vanished(name)
}

// TestFailedUnitThatPID1KeepsIsRemovedLater: its name would be taken for good.
func TestFailedUnitThatPID1KeepsIsRemovedLater(t *testing.T) {
	w := newWorld(t)
	w.pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{JobResult: "failed", ExitStatus: 203} })
	w.pid1.Refuse("ResetFailedUnit", "org.example.Failed", "no")
	wantCode(t, w.tryStart("a/1"), codes.FailedPrecondition, "cannot execute /local/server")
	name, _ := w.pid1.Calls("StartTransientUnit")[0].Args[0].(string)
	w.vanished(name)
	w.resume()
	if err := w.tryStart("a/1"); err != nil {
		t.Errorf("the id cannot be used again: %v", err)
	}
}

// TestPID1GivesUpOnAStartFirst: it knows what became of the unit then.
func TestPID1GivesUpOnAStartFirst(t *testing.T) {
	w := newWorld(t)
	u, ok := w.pid1.Unit(w.start("a/1").GetHandle().GetUnit())
	if !ok {
		t.Fatal("PID 1 lacks the unit")
	}
	usec, _ := u.Started["TimeoutStartUSec"].(uint64)
	if limit := time.Duration(usec) * time.Microsecond; limit == 0 || limit > startTimeout-20*time.Second {
		t.Errorf("PID 1 has %s and the broker %s", limit, startTimeout)
	}
}

// waitingFDs is the number of sets of descriptors that wait for their call.
func (w *world) waitingFDs() int {
	w.server.fds.mu.Lock()
	defer w.server.fds.mu.Unlock()
	return len(w.server.fds.waiting)
}

// fdsGone checks that no descriptors wait under the token.
func (w *world) fdsGone(token string) {
	w.t.Helper()
	if fds := w.server.fds.take(fdKey{clientUID(), token}); fds != nil {
		w.t.Errorf("descriptors %v wait", fds)
	}
}

// logged is a request whose output goes to descriptors that were handed over.
func (w *world) logged(id string) *brokerv1.StartUnitRequest {
	w.t.Helper()
	s := w.spec(id)
	s.Logging = &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_FDS, FdToken: w.handOverNull(logFDs)}
	return &brokerv1.StartUnitRequest{Spec: s}
}

// TestRefusedStartLeavesNoDescriptors: they would take the place of others.
func TestRefusedStartLeavesNoDescriptors(t *testing.T) {
	w := newWorld(t)
	w.start("a/1")
	tests := []struct {
		name   string
		change func(*brokerv1.UnitSpec)
		code   codes.Code
	}{
		{"by policy", func(s *brokerv1.UnitSpec) { s.User = "root" }, codes.PermissionDenied},
		{"as malformed", func(s *brokerv1.UnitSpec) { s.Command = "x" }, codes.InvalidArgument},
		{"for its directories", func(s *brokerv1.UnitSpec) {
			s.Directories.Local = filepath.Join(w.alloc, "x/none/local")
			s.Directories.Secrets = filepath.Join(w.alloc, "x/none/secrets")
		}, codes.InvalidArgument},
		{"for its id", func(s *brokerv1.UnitSpec) { s.Id = "a/1" }, codes.AlreadyExists},
		{"for the quota", func(*brokerv1.UnitSpec) { w.start("a/3") }, codes.ResourceExhausted},
	}
	w.start("a/2")
	before := openFDs(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := w.logged("a/4")
			tt.change(req.Spec)
			_, err := w.client.StartUnit(w.ctx(), req)
			wantCode(t, err, tt.code, "")
			w.fdsGone(req.GetSpec().GetLogging().GetFdToken())
		})
	}
	if after := openFDs(t); after > before+2 { // connections of the listener may be open
		t.Errorf("%d descriptors were open before and %d are after", before, after)
	}
}

// TestRetryOfAStartLeavesNoDescriptors: the unit has those of the first try.
func TestRetryOfAStartLeavesNoDescriptors(t *testing.T) {
	w := newWorld(t)
	before := toNull(t)
	w.pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{Hold: true} })
	done := make(chan error, 2)
	for range 2 {
		go func(req *brokerv1.StartUnitRequest) {
			_, err := w.client.StartUnit(w.ctx(), req)
			done <- err
		}(w.logged("a/1"))
	}
	for ctx := w.ctx(); w.waitingFDs() != 0; {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%d sets of descriptors wait while the start goes on", w.waitingFDs())
		}
	}
	if err := w.pid1.AwaitCalls(w.ctx(), "StartTransientUnit", 1); err != nil {
		t.Fatal(err)
	}
	name, _ := w.pid1.Calls("StartTransientUnit")[0].Args[0].(string)
	w.pid1.FinishJob(name, "done")
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for ctx := w.ctx(); toNull(t) > before+logFDs; { // PID 1, a fake, has those of the unit
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%d descriptors were open before and %d are after", before, toNull(t))
		}
	}
}

// toNull is the number of descriptors of /dev/null, which tests hand over.
func toNull(t *testing.T) int {
	t.Helper()
	n := 0
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == os.DevNull {
			n++
		}
	}
	return n
}

// TestUnitThatIsNotAsAskedIsEnded: what the policy decided on is what runs, or
// nothing.
func TestUnitThatIsNotAsAskedIsEnded(t *testing.T) {
	for property, value := range map[string]any{
		"PrivateDevices":        false,
		"NoNewPrivileges":       false,
		"CapabilityBoundingSet": uint64(1),
		"User":                  "root",
		"RootDirectory":         "/",
		"SystemCallFilter": struct {
			Allow bool
			Names []string
		}{true, []string{"read"}},
		"BindPaths": []struct {
			Source, Destination string
			IgnoreMissing       bool
			Flags               uint64
		}{{"/", "/alloc", false, 16384}},
	} {
		t.Run(property, func(t *testing.T) {
			w := newWorld(t)
			w.pid1.Effective(property, value)
			wantCode(t, w.tryStart("a/1"), codes.FailedPrecondition, "has "+property+"=")
			if t.Failed() {
				return // what runs does not vanish
			}
			name, _ := w.pid1.Calls("StartTransientUnit")[0].Args[0].(string)
			w.vanished(name)
		})
	}
}

// TestDirectiveThatIsTooNewIsRefused: an older systemd would drop it in silence.
func TestDirectiveThatIsTooNewIsRefused(t *testing.T) {
	w := newWorld(t) // with systemd 252
	s := w.spec("a/1")
	s.Directives = []*brokerv1.Directive{{Name: "PrivatePIDs", Values: []string{"yes"}}}
	_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: s})
	wantCode(t, err, codes.FailedPrecondition, `directive "PrivatePIDs=yes" needs systemd 257, and this host has 252`)
	if n := len(w.pid1.Calls("StartTransientUnit")); n != 0 {
		t.Errorf("PID 1 was asked to start %d units", n)
	}
}

// TestDirectiveThatSystemdWasNotBuiltForIsRefused: PID 1 only logs that it ignores
// it.
func TestDirectiveThatSystemdWasNotBuiltForIsRefused(t *testing.T) {
	w := newWorld(t)
	s := w.spec("a/1")
	s.Directives = []*brokerv1.Directive{{Name: "SocketBindDeny", Values: []string{"any"}}}
	_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: s})
	wantCode(t, err, codes.FailedPrecondition, "built with BPF_FRAMEWORK")
	if n := len(w.pid1.Calls("StartTransientUnit")); n != 0 {
		t.Errorf("PID 1 was asked to start %d units", n)
	}
}

func TestDirectivesReachTheUnit(t *testing.T) {
	w := newWorld(t)
	s := w.spec("a/1")
	s.Profile = "default"
	s.Directives = []*brokerv1.Directive{{Name: "PrivateNetwork", Values: []string{"yes"}}, {Name: "SystemCallFilter", Values: []string{"~kill"}}}
	resp, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: s})
	if err != nil {
		t.Fatal(err)
	}
	u, _ := w.pid1.Unit(resp.GetUnit().GetHandle().GetUnit())
	if u.Started["PrivateNetwork"] != true {
		t.Errorf("PrivateNetwork is %v", u.Started["PrivateNetwork"])
	}
	// The floor's filter comes after the request's, and does not replace it.
	if asked := fmt.Sprint(w.pid1.Calls("StartTransientUnit")[0].Args); !strings.Contains(asked, `["kill"]`) {
		t.Errorf("PID 1 was asked for %v", asked)
	}
}

func TestMalformedDirectivesAreExplained(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name, value string
		code        codes.Code
		want        string
	}{
		{"ProtectHostnme", "yes", codes.InvalidArgument, "did you mean ProtectHostname?"},
		{"PrivateNetwork", "maybe", codes.InvalidArgument, "PrivateNetwork: \"maybe\" is not a boolean"},
		{"PrivateDevices", "no", codes.PermissionDenied, "can only tighten"},
		{"Nice", "-5", codes.PermissionDenied, "of class priority"},
		{"ExecStartPre", "/bin/true", codes.PermissionDenied, "no policy can allow it"},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			s := w.spec("a/1")
			s.Directives = []*brokerv1.Directive{{Name: tt.name, Values: []string{tt.value}}}
			_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: s})
			wantCode(t, err, tt.code, tt.want)
		})
	}
}
