// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package systemd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/unit"
)

func manage(t *testing.T, verb string) {
	t.Helper()
	if out, err := exec.CommandContext(testContext(t), "systemctl", verb).CombinedOutput(); err != nil {
		t.Errorf("systemctl %s: %v: %s", verb, err, out)
	}
}

func TestRealReexecAndReload(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Conn) {
		name, first := startReal(t, c, program("/bin/sleep", "600"))
		for _, verb := range []string{"daemon-reload", "daemon-reexec", "daemon-reexec"} {
			manage(t, verb)
			for resync := false; !resync; {
				changes, err := c.Next(testContext(t))
				if err != nil {
					t.Fatalf("%s: %v; want a resync", verb, err)
				}
				resync = changes.Resync
			}
			s, err := c.Status(testContext(t), name)
			if err != nil || s.InvocationID != first.InvocationID || s.MainPID != first.MainPID || s.LogExtraFields["E2E_TEST"] != "a=b" {
				t.Errorf("after %s: got %+v, %v; want the unit as it was", verb, s, err)
			}
		}
		// Signals flow again.
		if err := c.Kill(testContext(t), name, Main, unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		awaitState(t, c, name, ended)
	})
}

// PID 1 writes the fields to a file and reads that when it reloads. A space is
// not tried: it ends the field there, and what follows becomes another one.
func TestRealLogExtraFieldsAcrossReload(t *testing.T) {
	c := dialOptions(t, Options{})
	want := make(map[string]string)
	for b := byte('!'); b < 0x7f; b++ {
		want[fmt.Sprintf("MIDDLE_%02X", b)] = "x" + string(b) + "y"
		want[fmt.Sprintf("FIRST_%02X", b)] = string(b) + "y"
		want[fmt.Sprintf("LAST_%02X", b)] = "x" + string(b)
	}
	want["UTF8"] = "x\u00fc\u2028y"
	want["LONG"] = strings.Repeat("x", 4096)
	want["EMPTY"] = ""
	want["SPECIFIERS"] = "%H%n%%${HOME}$HOME\\x20\\n"
	var entries [][]byte
	for k, v := range want {
		entries = append(entries, []byte(k+"="+v))
	}
	properties := slices.DeleteFunc(program("/bin/sleep", "600"), func(p unit.Property) bool { return p.Name == "LogExtraFields" })
	name, first := startReal(t, c, append(properties, unit.Property{Name: "LogExtraFields", Value: dbus.MakeVariant(entries)}))
	if !maps.Equal(first.LogExtraFields, want) {
		t.Errorf("before the reload: got %q", first.LogExtraFields)
	}
	manage(t, "daemon-reload")
	s, err := c.Status(testContext(t), name)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range want {
		if got := s.LogExtraFields[k]; got != v {
			t.Errorf("%s was %q, is %q", k, v, got)
		}
		delete(s.LogExtraFields, k)
	}
	if len(s.LogExtraFields) != 0 {
		t.Errorf("fields that were never set: %q", s.LogExtraFields)
	}
}

// tally counts what Start said, and holds it against what is.
type tally struct {
	mu                           sync.Mutex
	started, notStarted, unknown int
}

func (n *tally) add(t *testing.T, name string, err error, there Status, lookErr error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case err == nil:
		n.started++
		if lookErr != nil || there.ActiveState != Active {
			t.Errorf("%s was said to run: %+v, %v", name, there, lookErr)
		}
	case errors.Is(err, ErrNotStarted):
		n.notStarted++
		if !errors.Is(lookErr, ErrNotFound) {
			t.Errorf("%s was said not to exist: %+v, %v", name, there, lookErr)
		}
	case errors.Is(err, ErrOutcomeUnknown):
		n.unknown++
		t.Log(err)
	default:
		t.Errorf("%s: %v", name, err)
	}
}

// Whatever Start says while PID 1 executes itself anew must be true.
func TestRealStartsDuringReexec(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Conn) {
		var n tally
		var work sync.WaitGroup
		for range 4 {
			work.Go(func() {
				for range 25 {
					startAndStop(t, c, &n)
				}
			})
		}
		for range 5 {
			manage(t, "daemon-reexec")
		}
		work.Wait()
		t.Logf("started %d, not started %d, unknown %d", n.started, n.notStarted, n.unknown)
		if left, err := c.List(testContext(t), realPrefix+"*"); err != nil || len(left) != 0 {
			t.Errorf("left over: %v, %v", left, err)
		}
	})
}

func startAndStop(t *testing.T, c *Conn, n *tally) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	name := realUnit()
	_, err := c.start(ctx, name, program("/bin/sleep", "600"))
	there, lookErr := c.Status(ctx, name)
	n.add(t, name, err, there, lookErr)
	_ = c.Kill(ctx, name, All, unix.SIGKILL)
	if err := c.Stop(ctx, name); err != nil && !errors.Is(err, ErrNotFound) {
		t.Errorf("%s: %v", name, err)
	}
	_ = c.ResetFailed(ctx, name)
}
