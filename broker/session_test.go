// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"nomad-systemd-driver/broker/systemd/fakepid1"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// session is a request for a session beside u.
func (w *world) session(u *brokerv1.Unit) *brokerv1.ExecInUnitRequest {
	w.t.Helper()
	token := w.handOverNull(sessionFDs)
	s := w.spec(u.GetId() + "/session")
	s.Command, s.Logging = "sh", nil
	return &brokerv1.ExecInUnitRequest{Handle: proto.CloneOf(u.GetHandle()), Spec: s, FdToken: token}
}

// handOverNull hands n descriptors of /dev/null over and returns their token.
func (w *world) handOverNull(n int) string {
	w.t.Helper()
	w.tokens++
	token := fmt.Sprintf("%064x", w.tokens)
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	defer unix.Close(null) //nolint:errcheck // a test's device
	if got := w.handOver(token, slices.Repeat([]int{null}, n)...); got != "ok" {
		w.t.Fatalf("the broker answers %q", got)
	}
	return token
}

// exec makes the call and reads the stream to its end.
func (w *world) exec(ctx context.Context, req *brokerv1.ExecInUnitRequest) error {
	stream, err := w.client.ExecInUnit(ctx, req)
	if err != nil {
		return err
	}
	if first, err := stream.Recv(); err != nil || first.GetExit() != nil {
		return errors.Join(err, fmt.Errorf("the first message is %v", first))
	}
	last, err := stream.Recv()
	if err != nil {
		return err
	}
	if code := last.GetExit().GetCode(); last.GetExit() == nil || code != 0 {
		return fmt.Errorf("exit code %d", code)
	}
	return nil
}

// begin makes the call and returns the session's unit once PID 1 has it.
func (w *world) begin(ctx context.Context, req *brokerv1.ExecInUnitRequest) (unit string, answer <-chan error) {
	w.t.Helper()
	before := len(w.pid1.Calls("StartTransientUnit"))
	done := make(chan error, 1)
	go func() {
		done <- w.exec(ctx, req)
	}()
	if err := w.pid1.AwaitCalls(w.ctx(), "StartTransientUnit", before+1); err != nil {
		w.t.Fatal(err)
	}
	calls := w.pid1.Calls("StartTransientUnit")
	name, ok := calls[len(calls)-1].Args[0].(string)
	if !ok {
		w.t.Fatalf("PID 1 was asked with %v", calls[len(calls)-1].Args)
	}
	return name, done
}

// gone waits until PID 1 has nothing of the unit any more.
func (w *world) gone(unit string) {
	w.t.Helper()
	if err := w.pid1.AwaitCalls(w.ctx(), "ResetFailedUnit", 1); err != nil {
		w.t.Fatal(err)
	}
	if _, ok := w.pid1.Unit(unit); ok {
		w.t.Errorf("%s is left", unit)
	}
}

func TestSessionReturnsItsExitAndLeavesNothing(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	name, answer := w.begin(w.ctx(), w.session(u))
	list, err := w.client.ListUnits(w.ctx(), &brokerv1.ListUnitsRequest{})
	if err != nil || len(list.GetUnits()) != 1 {
		t.Errorf("the client sees %v, %v; want its unit and not the session", list.GetUnits(), err)
	}
	w.pid1.Exit(name, 42)
	if err := <-answer; err == nil || err.Error() != "exit code 42" {
		t.Errorf("got %v, want exit code 42", err)
	}
	w.gone(name)
	if got := w.await("a/1", running); got.GetHandle().GetInvocationId() != u.GetHandle().GetInvocationId() {
		t.Errorf("the unit became %v", got)
	}
}

func TestSessionHasTheUnitsUserAndNamespaces(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	name, _ := w.begin(w.ctx(), w.session(u))
	session, ok := w.pid1.Unit(name)
	parent, ok2 := w.pid1.Unit(u.GetHandle().GetUnit())
	if !ok || !ok2 {
		t.Fatal("PID 1 lacks a unit")
	}
	if got, want := session.Started["User"], parent.Started["User"]; got != want || want == "" {
		t.Errorf("the session's user is %v, the unit's %v", got, want)
	}
	if got := fmt.Sprint(session.Started["JoinsNamespaceOf"]); !strings.Contains(got, u.GetHandle().GetUnit()) {
		t.Errorf("JoinsNamespaceOf is %s", got)
	}
	for _, f := range []string{"StandardInputFileDescriptor", "StandardOutputFileDescriptor", "StandardErrorFileDescriptor"} {
		if session.Files[f] == nil {
			t.Errorf("PID 1 did not get %s", f)
		}
	}
}

func TestSessionEndsWithItsCall(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	ctx, cancel := context.WithCancel(w.ctx())
	name, answer := w.begin(ctx, w.session(u))
	cancel()
	wantCode(t, <-answer, codes.Canceled, "")
	w.gone(name)
}

func TestSessionEndsWithItsUnit(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	name, answer := w.begin(w.ctx(), w.session(u))
	w.pid1.Exit(u.GetHandle().GetUnit(), 0)
	wantCode(t, <-answer, codes.NotFound, "does not run any more")
	w.gone(name)
}

func TestSessionDoesNotOutliveTheBroker(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	name, answer := w.begin(w.ctx(), w.session(u))
	w.stop()
	if err := <-answer; err == nil {
		t.Error("the call succeeded")
	}
	w.gone(name)
}

// TestNewBrokerEndsOldSessions is about a broker that was killed.
func TestNewBrokerEndsOldSessions(t *testing.T) {
	w := newWorld(t)
	w.stop()
	w.pid1.Add("nomad-web-0123.service", map[string]any{"LogExtraFields": [][]byte{
		[]byte("BROKER_CLIENT=nomad"), []byte("BROKER_UNIT_ID=a/1/session"), []byte("BROKER_SESSION_OF=nomad-x.service"),
	}})
	w.boot(w.policy())
	t.Cleanup(func() { w.stop() })
	w.gone("nomad-web-0123.service")
	list, err := w.client.ListUnits(w.ctx(), &brokerv1.ListUnitsRequest{})
	if err != nil || len(list.GetUnits()) != 0 {
		t.Errorf("the client sees %v, %v", list.GetUnits(), err)
	}
}

func TestSessionIsRefused(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	tests := []struct {
		name   string
		change func(*brokerv1.ExecInUnitRequest)
		code   codes.Code
		text   string
	}{
		{"without a unit", func(r *brokerv1.ExecInUnitRequest) { r.Handle.Unit = "nomad-none.service" }, codes.NotFound, "no such unit"},
		{"beside another run of the unit", func(r *brokerv1.ExecInUnitRequest) { r.Handle.InvocationId = strings.Repeat("0", 32) }, codes.NotFound, "no such unit"},
		{"with another user that policy allows", func(r *brokerv1.ExecInUnitRequest) { r.Spec.User = "alice" }, codes.PermissionDenied, "so must its sessions"},
		{"with the directories of another task", func(r *brokerv1.ExecInUnitRequest) {
			r.Spec.Directories.Local = filepath.Join(w.alloc, "x/db/local")
			r.Spec.Directories.Secrets = filepath.Join(w.alloc, "x/db/secrets")
		}, codes.PermissionDenied, "was started with other directories"},
		{"with another group", func(r *brokerv1.ExecInUnitRequest) { r.Spec.Group = "media" }, codes.PermissionDenied, "group"},
		{"with the directories of another allocation", func(r *brokerv1.ExecInUnitRequest) {
			r.Spec.Directories = &brokerv1.Directories{
				Alloc:   filepath.Join(w.alloc, "y/alloc"),
				Local:   filepath.Join(w.alloc, "y/web/local"),
				Secrets: filepath.Join(w.alloc, "y/web/secrets"),
			}
		}, codes.PermissionDenied, "was started with other directories"},
		{"with a user that policy does not allow", func(r *brokerv1.ExecInUnitRequest) { r.Spec.User = "root" }, codes.PermissionDenied, "root"},
		{"with logging", func(r *brokerv1.ExecInUnitRequest) { r.Spec.Logging = &brokerv1.Logging{} }, codes.InvalidArgument, "logging"},
		{"without descriptors", func(r *brokerv1.ExecInUnitRequest) { r.FdToken = strings.Repeat("f", 64) }, codes.InvalidArgument, "no descriptors"},
		{"without a token", func(r *brokerv1.ExecInUnitRequest) { r.FdToken = "" }, codes.InvalidArgument, "fd_token"},
		{"with a relative path", func(r *brokerv1.ExecInUnitRequest) { r.Spec.Command = "bin/sh" }, codes.InvalidArgument, "command"},
		{"with a prefix of systemd", func(r *brokerv1.ExecInUnitRequest) { r.Spec.Command = "+sh" }, codes.InvalidArgument, "command"},
		{"with the id of a unit", func(r *brokerv1.ExecInUnitRequest) { r.Spec.Id = "a/1" }, codes.AlreadyExists, "id"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := w.session(u)
			tt.change(req)
			err := w.exec(w.ctx(), req)
			wantCode(t, err, tt.code, tt.text)
			if n := len(w.pid1.Calls("StartTransientUnit")); n != 1 {
				t.Errorf("PID 1 was asked to start %d units, want the first alone", n)
			}
			w.fdsGone(req.GetFdToken())
		})
	}
}

// TestSessionBesideAUnitOfAnEarlierBroker: the new one cannot know what the unit
// sees if the old one did not note it.
func TestSessionBesideAUnitOfAnEarlierBroker(t *testing.T) {
	for _, tt := range []struct {
		name string
		with bool
	}{
		{"that noted its directories", true},
		{"that did not", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			u := w.start("a/1")
			w.stop()
			if !tt.with {
				parent, _ := w.pid1.Unit(u.GetHandle().GetUnit())
				fields, _ := parent.Started["LogExtraFields"].([][]byte)
				w.pid1.Set(u.GetHandle().GetUnit(), map[string]any{"LogExtraFields": slices.DeleteFunc(slices.Clone(fields), func(f []byte) bool {
					return strings.HasPrefix(string(f), fieldView+"=")
				})})
			}
			w.boot(w.policy())
			t.Cleanup(func() { w.stop() })
			if !tt.with {
				err := w.exec(w.ctx(), w.session(u))
				wantCode(t, err, codes.PermissionDenied, "start the unit anew")
				return
			}
			name, answer := w.begin(w.ctx(), w.session(u))
			w.pid1.Exit(name, 0)
			wantCode(t, <-answer, codes.OK, "")
		})
	}
}

func TestSessionThatCannotBeExecutedIsExplained(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	w.pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{JobResult: "failed", ExitStatus: 203} })
	err := w.exec(w.ctx(), w.session(u))
	wantCode(t, err, codes.FailedPrecondition, "cannot execute sh")
}

func TestCheckDescriptorsOfASession(t *testing.T) {
	me := uint32(os.Getuid())
	null := open(t, "/dev/null", unix.O_RDWR)
	tests := []struct {
		name string
		fds  descriptors
		uid  uint32
		ok   bool
	}{
		{"FIFOs", descriptors{openFIFO(t, unix.O_RDWR), openFIFO(t, unix.O_RDWR), openFIFO(t, unix.O_RDWR)}, me, true},
		{"input that can be read only", descriptors{openFIFO(t, unix.O_RDONLY), null, null}, me, true},
		{"input that cannot be read", descriptors{open(t, "/dev/null", unix.O_WRONLY), null, null}, me, false},
		{"output that cannot be written", descriptors{null, openFIFO(t, unix.O_RDONLY), null}, me, false},
		{"somebody else's", descriptors{null, null, openFIFO(t, unix.O_RDWR)}, me + 1, false},
		{"another device", descriptors{open(t, "/dev/zero", unix.O_RDWR), null, null}, me, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := checkDescriptors(tt.fds, tt.uid); (err == nil) != tt.ok {
				t.Errorf("got %v, want accepted: %v", err, tt.ok)
			}
		})
	}
}

func TestTerminalBelongsToTheClient(t *testing.T) {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	defer unix.Close(master) //nolint:errcheck // a test's terminal
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty := open(t, fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY)
	me := uint32(os.Getuid())
	if err := checkDescriptors(descriptors{tty, tty, tty}, me); err != nil {
		t.Errorf("the client's terminal is refused: %v", err)
	}
	if err := checkDescriptors(descriptors{tty, tty, tty}, me+1); err == nil {
		t.Error("somebody else's terminal is accepted")
	}
	if err := checkLogFD(tty, me); err == nil {
		t.Error("a unit may log to a terminal")
	}
	if err := checkLogFD(master, me); err == nil {
		t.Error("a unit may log to the other side of a terminal")
	}
}

// TestSessionThatVanishedIsNoSuccess: somebody stopped its unit.
func TestSessionThatVanishedIsNoSuccess(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	name, answer := w.begin(w.ctx(), w.session(u))
	if _, err := w.client.ListUnits(w.ctx(), &brokerv1.ListUnitsRequest{}); err != nil {
		t.Fatal(err)
	}
	w.pid1.Remove(name)
	if err := <-answer; err == nil {
		t.Error("a session without an exit status succeeded")
	}
}
