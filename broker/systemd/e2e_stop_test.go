// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package systemd

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/unit"
)

func TestRealRefusals(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Conn) {
		ctx := testContext(t)
		name, _ := startReal(t, c, program("/bin/sleep", "600"))
		if _, err := c.start(ctx, name, program("/bin/true")); !errors.Is(err, ErrUnitExists) {
			t.Errorf("a second start: got %v, want ErrUnitExists", err)
		}
		bad := append(program("/bin/true"), unit.Property{Name: "NoSuchProperty", Value: dbus.MakeVariant("x")})
		var refusal *CallError
		if _, err := c.start(ctx, realUnit(), bad); !errors.As(err, &refusal) {
			t.Errorf("an unknown property: got %v, want a CallError", err)
		} else {
			t.Log(err)
		}
		missing := realUnit()
		if err := c.Kill(ctx, missing, All, unix.SIGTERM); !errors.Is(err, ErrNotFound) {
			t.Errorf("Kill of no unit: got %v, want ErrNotFound", err)
		}
		if err := c.Stop(ctx, missing); !errors.Is(err, ErrNotFound) {
			t.Errorf("Stop of no unit: got %v, want ErrNotFound", err)
		}
		if err := c.ResetFailed(ctx, missing); err != nil {
			t.Errorf("ResetFailed of no unit: %v", err)
		}
		if names, err := c.List(ctx, realPrefix+"*"); err != nil || !slices.Contains(names, name) || slices.Contains(names, missing) {
			t.Errorf("List: got %v, %v", names, err)
		}
	})
}

func TestRealKill(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Conn) {
		name, s := startReal(t, c, program("/bin/sleep", "600"))
		if s.ActiveState != Active || s.SubState != Running || s.MainPID == 0 || !s.ExitedAt.IsZero() || s.ControlGroup == "" {
			t.Errorf("after the start: got %+v", s)
		}
		if err := c.Kill(testContext(t), name, Main, unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		s = awaitState(t, c, name, ended)
		if s.ActiveState != Active || s.ExecMainCode != CodeKilled || s.ExecMainStatus != int32(unix.SIGTERM) || s.ExitedAt.IsZero() {
			t.Errorf("after SIGTERM: got %+v", s)
		}
		if err := c.Kill(testContext(t), name, Main, unix.SIGTERM); !errors.Is(err, ErrNoProcess) {
			t.Errorf("Kill of an ended program: got %v, want ErrNoProcess", err)
		}
		if err := c.Kill(testContext(t), name, All, unix.SIGKILL); err != nil && !errors.Is(err, ErrNoProcess) {
			t.Errorf("Kill of an empty control group: got %v", err)
		} else {
			t.Logf("Kill of an empty control group: %v", err)
		}
	})
}

func TestRealStopPrevailsOverAStart(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Conn) {
		name := realUnit()
		cleanUp(t, name)
		ctx := testContext(t)
		slow := append(program("/bin/true"), unit.Property{
			Name: "ExecStartPre", Value: dbus.MakeVariant([]execute{{"/bin/sleep", []string{"sleep", "600"}, false}}),
		})
		// Who starts a unit is not told of its changes meanwhile; others are.
		watcher := dialOptions(t, Options{BusPath: "/nonexistent", Watch: func(unit string) bool { return unit == name }})
		started := make(chan error, 1)
		go func() { _, err := c.start(ctx, name, slow); started <- err }()
		for activating := false; !activating; {
			if _, err := watcher.Next(ctx); err != nil {
				t.Fatal(err)
			}
			s, err := watcher.Status(ctx, name)
			activating = err == nil && s.ActiveState == Activating
		}
		if err := c.Stop(ctx, name); err != nil {
			t.Error(err)
		}
		var failure *StartError
		if err := <-started; !errors.As(err, &failure) || failure.JobResult != JobCanceled {
			t.Errorf("Start: got %v, want a canceled job", err)
		}
	})
}

// Reading what changed comes to rest, also when what changed is gone.
func TestRealChangesComeToRest(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Conn) {
		name, _ := startReal(t, c, program("/bin/sleep", "600"))
		if err := c.Stop(testContext(t), name); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		rounds := 0
		for ; ; rounds++ {
			if _, err := c.Next(ctx); err != nil {
				break
			}
			_, _ = c.Status(testContext(t), name)
		}
		if rounds > 10 {
			t.Errorf("%d rounds of changes for one stop", rounds)
		}
	})
}
