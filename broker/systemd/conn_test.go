// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"nomad-systemd-driver/broker/systemd/fakepid1"
)

func TestDialWithoutAnySocketNamesBoth(t *testing.T) {
	_, err := Dial(testContext(t), Options{PrivatePath: "/nonexistent/private", BusPath: "/nonexistent/bus"})
	if err == nil {
		t.Fatal("connected to nothing")
	}
	want := "cannot connect to PID 1: /nonexistent/private: dial unix /nonexistent/private: connect: no such file or directory; " +
		"/nonexistent/bus: dial unix /nonexistent/bus: connect: no such file or directory"
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
}

func TestReconnectAsksForAResync(t *testing.T) {
	pid1 := fakepid1.New(t)
	pid1.Add(testUnit, nil)
	c := dialFake(t, pid1, nil)
	if got := c.Version(); got != "252.39-1~deb12u1" {
		t.Errorf("got version %q", got)
	}
	for range 3 {
		pid1.Disconnect()
		changes, err := c.Next(testContext(t))
		if err != nil || !changes.Resync {
			t.Fatalf("got %+v, %v; want a resync", changes, err)
		}
		if _, err := c.Status(testContext(t), testUnit); err != nil {
			t.Fatal(err)
		}
	}
	if n := pid1.Connections(); n != 1 {
		t.Errorf("%d connections are left, want 1", n)
	}
}

func TestLinksThatBreakAtOnceAreReplacedEverMoreSlowly(t *testing.T) {
	tests := []struct {
		name                  string
		previous, lived, want time.Duration
	}{
		{"after a long life", time.Second, time.Hour, 0},
		{"after the first short life", 0, time.Millisecond, firstBackoff},
		{"after one more", firstBackoff, time.Millisecond, 2 * firstBackoff},
		{"after very many", lastBackoff, time.Millisecond, lastBackoff},
	}
	for _, test := range tests {
		if got := nextPause(test.previous, test.lived); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestCallsWaitForTheConnection(t *testing.T) {
	pid1 := fakepid1.New(t)
	pid1.Add(testUnit, nil)
	c := dialFake(t, pid1, nil)
	pid1.Leave()
	awaitLoss(t, c)

	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Status(short, testUnit); !errors.Is(err, ErrNotConnected) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want ErrNotConnected and DeadlineExceeded", err)
	}
	if err := c.Health(); !errors.Is(err, ErrNotConnected) {
		t.Errorf("health: got %v, want ErrNotConnected", err)
	}

	answered := make(chan error, 1)
	ctx := testContext(t)
	go func() {
		_, err := c.Status(ctx, testUnit)
		answered <- err
	}()
	pid1.Return()
	if err := <-answered; err != nil {
		t.Errorf("after the return: %v", err)
	}
	if err := c.Health(); err != nil {
		t.Errorf("health after the return: %v", err)
	}
}

// awaitLoss waits until the Conn has noticed that its link is gone.
func awaitLoss(t *testing.T, c *Conn) {
	t.Helper()
	l, _, _ := c.current()
	if l == nil {
		return
	}
	select {
	case <-l.Done():
	case <-testContext(t).Done():
		t.Fatal("the loss of the connection went unnoticed")
	}
}

func TestReadsAreRepeatedWhenTheReplyIsLost(t *testing.T) {
	for _, member := range []string{"GetUnit", "GetAll"} {
		for _, fault := range []fakepid1.Fault{fakepid1.DropBefore, fakepid1.DropAfter} {
			pid1 := fakepid1.New(t)
			pid1.Add(testUnit, nil)
			c := dialFake(t, pid1, nil)
			pid1.Fail(member, fault)
			if s, err := c.Status(testContext(t), testUnit); err != nil || s.ActiveState != Active {
				t.Errorf("%s, fault %d: got %+v, %v", member, fault, s, err)
			}
		}
	}
}

func TestCloseEndsWhatWaits(t *testing.T) {
	pid1 := fakepid1.New(t)
	c := dialFake(t, pid1, nil)
	pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{Hold: true} })
	ctx := testContext(t)
	started, next := make(chan error, 1), make(chan error, 1)
	go func() { _, err := c.start(ctx, testUnit, nil); started <- err }()
	go func() { _, err := c.Next(ctx); next <- err }()
	awaitCall(t, pid1, "StartTransientUnit", 1)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-started; !errors.Is(err, ErrClosed) {
		t.Errorf("Start: got %v, want ErrClosed", err)
	}
	if err := <-next; !errors.Is(err, ErrClosed) {
		t.Errorf("Next: got %v, want ErrClosed", err)
	}
	if _, err := c.Status(ctx, testUnit); !errors.Is(err, ErrClosed) {
		t.Errorf("Status afterwards: got %v, want ErrClosed", err)
	}
	if err := c.Health(); !errors.Is(err, ErrClosed) {
		t.Errorf("Health afterwards: got %v, want ErrClosed", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("use and abuse", func(t *testing.T) {
		pid1 := fakepid1.New(t)
		c := dialFake(t, pid1, nil)
		pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{Hold: true} })
		for i := range 5 {
			ctx, cancel := context.WithCancel(testContext(t))
			pid1.Fail("StartTransientUnit", fakepid1.NoReply)
			done := make(chan error, 1)
			go func() { _, err := c.start(ctx, testUnit, nil); done <- err }()
			awaitCall(t, pid1, "StartTransientUnit", i+1)
			cancel()
			if err := <-done; !errors.Is(err, ErrOutcomeUnknown) {
				t.Fatalf("got %v, want ErrOutcomeUnknown", err)
			}
			pid1.Remove(testUnit)
			pid1.Disconnect()
			for resync := false; !resync; {
				changes, err := c.Next(testContext(t))
				if err != nil {
					t.Fatal(err)
				}
				resync = changes.Resync
			}
		}
	})
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched() // timers and readers of closed sockets are on their way out
	}
	if after := runtime.NumGoroutine(); after > before {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines before, %d after:\n%s", before, after, stacks[:runtime.Stack(stacks, true)])
	}
}
