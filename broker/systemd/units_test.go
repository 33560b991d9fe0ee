// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/systemd/fakepid1"
)

func TestKill(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(*fakepid1.Server)
		who     Who
		want    error
	}{
		{"a running program", func(s *fakepid1.Server) { s.Add(testUnit, nil) }, Main, nil},
		{"a program that has ended", func(s *fakepid1.Server) { s.Add(testUnit, nil); s.Exit(testUnit, 0) }, Main, ErrNoProcess},
		{"an empty control group", func(s *fakepid1.Server) { s.Add(testUnit, nil); s.Exit(testUnit, 0) }, All, nil},
		{"a unit that is gone", func(*fakepid1.Server) {}, All, ErrNotFound},
		{"a call whose reply is lost", func(s *fakepid1.Server) {
			s.Add(testUnit, nil)
			s.Fail("KillUnit", fakepid1.DropAfter)
		}, Main, ErrOutcomeUnknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pid1 := fakepid1.New(t)
			test.prepare(pid1)
			c := dialFake(t, pid1, nil)
			if err := c.Kill(testContext(t), testUnit, test.who, unix.SIGTERM); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			calls := pid1.Calls("KillUnit")
			if len(calls) != 1 {
				t.Fatalf("sent %d times, want once", len(calls))
			}
			if want := []any{testUnit, string(test.who), int32(unix.SIGTERM)}; !slices.Equal(calls[0].Args, want) {
				t.Errorf("sent %v, want %v", calls[0].Args, want)
			}
		})
	}
}

func TestStop(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(*fakepid1.Server)
		want    error
	}{
		{"a running unit", func(s *fakepid1.Server) { s.Add(testUnit, nil) }, nil},
		{"a unit that is gone", func(*fakepid1.Server) {}, ErrNotFound},
		{"the reply is lost and the unit not stopped", func(s *fakepid1.Server) {
			s.Add(testUnit, nil)
			s.Fail("StopUnit", fakepid1.DropBefore)
		}, nil},
		{"the reply is lost and the unit stopped", func(s *fakepid1.Server) {
			s.Add(testUnit, nil)
			s.Fail("StopUnit", fakepid1.DropAfter)
		}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pid1 := fakepid1.New(t)
			test.prepare(pid1)
			c := dialFake(t, pid1, nil)
			if err := c.Stop(testContext(t), testUnit); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if _, there := pid1.Unit(testUnit); there {
				t.Error("the unit is still there")
			}
		})
	}
}

func TestStopPrevailsOverAStart(t *testing.T) {
	pid1 := fakepid1.New(t)
	c := dialFake(t, pid1, nil)
	pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{Hold: true} })
	started := make(chan error, 1)
	ctx := testContext(t)
	go func() { _, err := c.start(ctx, testUnit, nil); started <- err }()
	awaitCall(t, pid1, "StartTransientUnit", 1)
	if err := c.Stop(ctx, testUnit); err != nil {
		t.Fatal(err)
	}
	var failure *StartError
	if err := <-started; !errors.As(err, &failure) || failure.JobResult != JobCanceled {
		t.Errorf("Start: got %v, want a canceled job", err)
	}
}

func TestResetFailedForgetsAFailedUnit(t *testing.T) {
	pid1 := fakepid1.New(t)
	c := dialFake(t, pid1, nil)
	pid1.Add(testUnit, nil)
	pid1.Exit(testUnit, 1)
	for _, state := range []string{"failed", "gone"} {
		if err := c.ResetFailed(testContext(t), testUnit); err != nil {
			t.Errorf("a unit that is %s: %v", state, err)
		}
	}
	if _, there := pid1.Unit(testUnit); there {
		t.Error("the unit is still there")
	}
	pid1.Refuse("ResetFailedUnit", "org.freedesktop.DBus.Error.AccessDenied", "no")
	if err := c.ResetFailed(testContext(t), testUnit); err == nil {
		t.Error("a refusal was taken for success")
	}
}

func TestListNamesTheLoadedUnitsThatMatch(t *testing.T) {
	pid1 := fakepid1.New(t)
	c := dialFake(t, pid1, nil)
	pid1.Add("nomad-b.service", nil)
	pid1.Add("nomad-a.service", nil)
	pid1.Add("nomad-ghost.service", map[string]any{"LoadState": "not-found"})
	pid1.Add("ssh.service", nil)
	got, err := c.List(testContext(t), "nomad-*.service")
	if want := []string{"nomad-a.service", "nomad-b.service"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}
