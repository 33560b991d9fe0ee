// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/systemd/fakepid1"
	"nomad-systemd-driver/broker/systemd/unitpath"
	"nomad-systemd-driver/broker/unit"
)

func TestStartReportsHowTheJobEnded(t *testing.T) {
	tests := []struct {
		name      string
		outcome   fakepid1.Outcome
		jobResult string // of the *StartError; "" for none
	}{
		{"the job is done after the reply", fakepid1.Outcome{}, ""},
		{"the job is done before the reply", fakepid1.Outcome{SignalFirst: true}, ""},
		{"the program cannot be executed", fakepid1.Outcome{JobResult: JobFailed, ExitStatus: 203}, JobFailed},
		{"the job fails before the reply", fakepid1.Outcome{JobResult: JobFailed, ExitStatus: 203, SignalFirst: true}, JobFailed},
		{"the job is canceled", fakepid1.Outcome{JobResult: JobCanceled, ExitStatus: 1}, JobCanceled},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pid1 := fakepid1.New(t)
			pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return test.outcome })
			c := dialFake(t, pid1, nil)
			status, err := c.start(testContext(t), testUnit, nil)
			if test.jobResult == "" {
				if err != nil || status.ActiveState != Active || status.SubState != Running || status.MainPID == 0 {
					t.Fatalf("got %+v, %v; want a running unit", status, err)
				}
				return
			}
			var failure *StartError
			if !errors.As(err, &failure) {
				t.Fatalf("got error %v, want a *StartError", err)
			}
			if failure.JobResult != test.jobResult || failure.Status.ExecMainStatus != test.outcome.ExitStatus {
				t.Errorf("got job %q, exit status %d; want %q, %d",
					failure.JobResult, failure.Status.ExecMainStatus, test.jobResult, test.outcome.ExitStatus)
			}
		})
	}
}

func TestStartSendsThePropertiesAndDescriptors(t *testing.T) {
	pid1 := fakepid1.New(t)
	c := dialFake(t, pid1, nil)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var mode string
	pid1.OnStart(func(s fakepid1.Start) fakepid1.Outcome { mode = s.Mode; return fakepid1.Outcome{} })
	_, err = c.start(testContext(t), testUnit, []unit.Property{
		{Name: "Description", Value: dbus.MakeVariant("a task")},
		{Name: "StandardOutputFileDescriptor", Value: dbus.MakeVariant(dbus.UnixFD(int32(w.Fd())))},
		{Name: "LogExtraFields", Value: dbus.MakeVariant([][]byte{[]byte("NOMAD_TASK=web")})},
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	u, _ := pid1.Unit(testUnit)
	if mode != "fail" || u.Started["Description"] != "a task" {
		t.Errorf("got mode %q, properties %v", mode, u.Started)
	}
	if _, err := u.Files["StandardOutputFileDescriptor"].WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := r.Read(got); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v through the descriptor, want %q", got, err, "hello")
	}
	status, err := c.Status(testContext(t), testUnit)
	if err != nil || status.LogExtraFields["NOMAD_TASK"] != "web" {
		t.Errorf("got fields %v, %v", status.LogExtraFields, err)
	}
}

func TestStartRefused(t *testing.T) {
	const invalid = "org.freedesktop.DBus.Error.InvalidArgs"
	pid1 := fakepid1.New(t)
	c := dialFake(t, pid1, nil)
	pid1.Add(testUnit, nil)
	if _, err := c.start(testContext(t), testUnit, nil); !errors.Is(err, ErrUnitExists) {
		t.Errorf("a name that is taken: got %v, want ErrUnitExists", err)
	}
	pid1.Refuse("StartTransientUnit", invalid, "Invalid slice")
	var refusal *CallError
	if _, err := c.start(testContext(t), "other.service", nil); !errors.As(err, &refusal) || refusal.Name != invalid {
		t.Errorf("a refused property: got %v, want the error of PID 1", err)
	}
	nul := []unit.Property{{Name: "Description", Value: dbus.MakeVariant("a\x00b")}}
	if _, err := c.start(testContext(t), "other.service", nul); err == nil {
		t.Error("a string with a NUL byte was sent")
	}
	if err := c.Health(); err != nil {
		t.Errorf("the connection suffered: %v", err)
	}
}

func TestStartResolvesALostReply(t *testing.T) {
	tests := []struct {
		name  string
		fault fakepid1.Fault
		want  error
	}{
		{"PID 1 had not begun", fakepid1.DropBefore, ErrNotStarted},
		{"PID 1 had started the unit", fakepid1.DropAfter, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pid1 := fakepid1.New(t)
			c := dialFake(t, pid1, nil)
			pid1.Fail("StartTransientUnit", test.fault)
			status, err := c.start(testContext(t), testUnit, nil)
			if !errors.Is(err, test.want) {
				t.Fatalf("got error %v, want %v", err, test.want)
			}
			if test.want == nil && status.ActiveState != Active {
				t.Errorf("got %+v, want a running unit", status)
			}
			if n := len(pid1.Calls("StartTransientUnit")); n != 1 {
				t.Errorf("the start was sent %d times, want once", n)
			}
		})
	}
}

// The connection is lost while the unit is activating; the signal that its job
// has ended is gone with it or comes on the next one.
func TestStartLearnsTheEndOfAJobAfterReconnect(t *testing.T) {
	tests := []struct {
		name   string
		result string
		before bool // the job ends while nobody is connected
	}{
		{"done while away", JobDone, true},
		{"failed while away", JobFailed, true},
		{"done after the return", JobDone, false},
		{"failed after the return", JobFailed, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pid1 := fakepid1.New(t)
			c := dialFake(t, pid1, nil)
			pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome {
				return fakepid1.Outcome{Hold: true, ExitStatus: 226}
			})
			type result struct {
				status Status
				err    error
			}
			started := make(chan result, 1)
			ctx := testContext(t)
			go func() {
				s, err := c.start(ctx, testUnit, nil)
				started <- result{s, err}
			}()
			awaitCall(t, pid1, "StartTransientUnit", 1)
			pid1.Leave()
			if test.before {
				pid1.FinishJob(testUnit, test.result)
			}
			pid1.Return()
			if !test.before {
				awaitCall(t, pid1, "GetAll", 1) // the look after the reconnect
				pid1.FinishJob(testUnit, test.result)
			}
			got := <-started
			var failure *StartError
			if failed := errors.As(got.err, &failure); failed != (test.result == JobFailed) {
				t.Fatalf("got %+v, %v; want the result %s", got.status, got.err, test.result)
			}
			if failure != nil && failure.Status.ExecMainStatus != 226 {
				t.Errorf("got exit status %d, want 226", failure.Status.ExecMainStatus)
			}
		})
	}
}

func TestStartsAreConcurrent(t *testing.T) {
	const n = 50
	pid1 := fakepid1.New(t)
	c := dialFake(t, pid1, nil)
	pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{Hold: true} })
	ctx := testContext(t)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			name := fmt.Sprintf("nomad-%d.service", i)
			if s, err := c.start(ctx, name, nil); err != nil || s.Unit != name {
				t.Errorf("start %d: got %+v, %v", i, s, err)
			}
		})
	}
	awaitCall(t, pid1, "StartTransientUnit", n) // all are under way at once
	for i := range n {
		pid1.FinishJob(fmt.Sprintf("nomad-%d.service", n-1-i), JobDone)
	}
	wg.Wait()
}

func TestAStartedUnitWithAnUnreadableStateIsNoFailedStart(t *testing.T) {
	c := dialFake(t, fakepid1.New(t), nil)
	_, err := c.start(testContext(t), testUnit, []unit.Property{
		{Name: "LogExtraFields", Value: dbus.MakeVariant("not a list of bytes")},
	})
	if !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("got %v, want ErrOutcomeUnknown", err)
	}
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	pid1 := fakepid1.New(t)
	c := dialFake(t, pid1, nil)
	pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{Hold: true} })
	ctx, cancel := context.WithCancel(testContext(t))
	failed := make(chan error, 1)
	go func() {
		_, err := c.start(ctx, testUnit, nil)
		failed <- err
	}()
	awaitCall(t, pid1, "StartTransientUnit", 1)
	cancel()
	if err := <-failed; !errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want ErrOutcomeUnknown and context.Canceled", err)
	}
	if n := len(c.events.observers); n != 0 {
		t.Errorf("%d observers are left, want none", n)
	}
	if _, err := c.start(ctx, "other.service", nil); err == nil || errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("a start that was never sent: got %v, want an error other than ErrOutcomeUnknown", err)
	}
}

// TestProgramThatEndsAtOnceHasStarted: PID 1 may see the end of a program before
// it sees that it was executed, and calls the start failed then.
func TestProgramThatEndsAtOnceHasStarted(t *testing.T) {
	for _, status := range []int32{1, 7, 199, 246, 255} {
		pid1 := fakepid1.New(t)
		pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome {
			return fakepid1.Outcome{JobResult: JobFailed, ExitStatus: status}
		})
		s, err := dialFake(t, pid1, nil).start(testContext(t), testUnit, nil)
		if err != nil || s.ExecMainStatus != status || s.ActiveState != Failed {
			t.Errorf("status %d: got %+v, %v", status, s, err)
		}
	}
}

// TestSignalsOfOtherJobsChangeNothing: nor do those that come twice, or too late.
func TestSignalsOfOtherJobsChangeNothing(t *testing.T) {
	pid1 := fakepid1.New(t)
	pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{Hold: true} })
	c := dialFake(t, pid1, nil)
	removed := func(job, unit, result string) {
		pid1.Emit("", managerPath, managerInterface, "JobRemoved", uint32(4711), dbus.ObjectPath("/org/freedesktop/systemd1/job/"+job), unit, result)
	}
	type answer struct {
		status Status
		err    error
	}
	started := make(chan answer, 1)
	go func() {
		status, err := c.start(testContext(t), testUnit, nil)
		started <- answer{status, err}
	}()
	if err := pid1.AwaitCalls(testContext(t), "StartTransientUnit", 1); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		removed("4711", testUnit, JobFailed)
		removed("4711", "other.service", JobFailed)
	}
	pid1.FinishJob(testUnit, JobDone)
	if a := <-started; a.err != nil || a.status.ActiveState != Active {
		t.Fatalf("got %+v, %v; want a running unit", a.status, a.err)
	}
	removed("4711", testUnit, JobFailed)
	pid1.Emit("", managerPath, managerInterface, "UnitRemoved", testUnit, unitpath.Of(testUnit))
	if status, err := c.Status(testContext(t), testUnit); err != nil || status.ActiveState != Active {
		t.Errorf("afterwards: got %+v, %v; want a running unit", status, err)
	}
}
