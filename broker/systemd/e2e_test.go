// SPDX-License-Identifier: MPL-2.0

//go:build e2e

// The tests in this file start units with the PID 1 of the host: run them as
// root in a throw-away machine.

package systemd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/unit"
)

const realPrefix = "brokerd-e2e-"

func realUnit() string { return realPrefix + strings.ToLower(rand.Text()[:8]) + ".service" }

// transports are the two ways to PID 1.
var transports = []struct {
	name    string
	options Options
}{
	{"private", Options{BusPath: "/nonexistent"}},
	{"bus", Options{PrivatePath: "/nonexistent"}},
}

// onBoth runs a test over each transport.
func onBoth(t *testing.T, test func(*testing.T, *Conn)) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			o := transport.options
			o.Watch = func(unit string) bool { return strings.HasPrefix(unit, realPrefix) }
			test(t, dialOptions(t, o))
		})
	}
}

// execute is ExecStart, a(sasb).
type execute struct {
	Path          string
	Args          []string
	IgnoreFailure bool
}

func program(args ...string) []unit.Property {
	return []unit.Property{
		{Name: "Type", Value: dbus.MakeVariant("exec")},
		{Name: "RemainAfterExit", Value: dbus.MakeVariant(true)},
		{Name: "CollectMode", Value: dbus.MakeVariant("inactive")},
		{Name: "LogExtraFields", Value: dbus.MakeVariant([][]byte{[]byte("E2E_TEST=a=b")})},
		{Name: "ExecStart", Value: dbus.MakeVariant([]execute{{args[0], args, false}})},
	}
}

// startReal starts a program and removes the unit when the test ends.
func startReal(t *testing.T, c *Conn, properties []unit.Property) (string, Status) {
	t.Helper()
	name := realUnit()
	s, err := c.start(testContext(t), name, properties)
	if err != nil {
		t.Fatal(err)
	}
	cleanUp(t, name)
	return name, s
}

func cleanUp(t *testing.T, name string) {
	t.Cleanup(func() { _ = exec.Command("systemctl", "stop", name).Run() })
	t.Cleanup(func() { _ = exec.Command("systemctl", "reset-failed", name).Run() })
}

// awaitState follows the changes until the unit is as wanted.
func awaitState(t *testing.T, c *Conn, name string, wanted func(Status) bool) Status {
	t.Helper()
	ctx := testContext(t)
	for {
		s, err := c.Status(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if wanted(s) {
			return s
		}
		if _, err := c.Next(ctx); err != nil {
			t.Fatalf("last state %+v: %v", s, err)
		}
	}
}

func ended(s Status) bool {
	return s.ActiveState == Failed || s.ActiveState == Active && s.SubState == Exited
}

func TestRealProgramEnds(t *testing.T) {
	tests := []struct {
		name  string
		args  []string
		state Status // the fields that matter
	}{
		{"well", []string{"/bin/true"}, Status{ActiveState: Active, Result: ResultSuccess, ExecMainCode: CodeExited}},
		{"with an exit code", []string{"/bin/sh", "-c", "exit 7"},
			Status{ActiveState: Failed, Result: ResultExitCode, ExecMainCode: CodeExited, ExecMainStatus: 7}},
		{"by a signal", []string{"/bin/sh", "-c", "kill -KILL $$$$"},
			Status{ActiveState: Failed, Result: ResultSignal, ExecMainCode: CodeKilled, ExecMainStatus: 9}},
	}
	onBoth(t, func(t *testing.T, c *Conn) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				name, first := startReal(t, c, program(test.args...))
				s := awaitState(t, c, name, ended)
				got := Status{ActiveState: s.ActiveState, Result: s.Result, ExecMainCode: s.ExecMainCode, ExecMainStatus: s.ExecMainStatus}
				if !equalStatus(got, test.state) {
					t.Errorf("got  %+v\nwant %+v", got, test.state)
				}
				if len(s.InvocationID) != 32 || s.InvocationID != first.InvocationID || s.StartedAt.IsZero() || s.ExitedAt.Before(s.StartedAt) ||
					s.ExecMainPID == 0 || s.LogExtraFields["E2E_TEST"] != "a=b" {
					t.Errorf("got %+v", s)
				}
				if s.ActiveState == Failed {
					if err := c.ResetFailed(testContext(t), name); err != nil {
						t.Error(err)
					}
				} else if err := c.Stop(testContext(t), name); err != nil {
					t.Error(err)
				}
				if s, err := c.Status(testContext(t), name); !errors.Is(err, ErrNotFound) {
					t.Errorf("after the removal: got %+v, %v; want ErrNotFound", s, err)
				}
			})
		}
	})
}

func TestRealProgramCannotBeExecuted(t *testing.T) {
	tests := []struct {
		name       string
		properties []unit.Property
		status     int32
	}{
		{"no such file", program("/nonexistent/program"), 203},
		{"no such user", append(program("/bin/true"), unit.Property{Name: "User", Value: dbus.MakeVariant("nonexistent-user")}), 217},
		{"no such directory", append(program("/bin/true"), unit.Property{Name: "WorkingDirectory", Value: dbus.MakeVariant("/nonexistent")}), 200},
	}
	onBoth(t, func(t *testing.T, c *Conn) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				name := realUnit()
				cleanUp(t, name)
				_, err := c.start(testContext(t), name, test.properties)
				var failure *StartError
				if !errors.As(err, &failure) || failure.JobResult != JobFailed || failure.Status.ExecMainStatus != test.status {
					t.Fatalf("got %v, want a failed job with status %d", err, test.status)
				}
				if err := c.ResetFailed(testContext(t), name); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

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
		slow := append(program("/bin/true"), unit.Property{Name: "ExecStartPre",
			Value: dbus.MakeVariant([]execute{{"/bin/sleep", []string{"sleep", "600"}, false}})})
		started := make(chan error, 1)
		go func() { _, err := c.start(ctx, name, slow); started <- err }()
		for activating := false; !activating; {
			if _, err := c.Next(ctx); err != nil {
				t.Fatal(err)
			}
			s, err := c.Status(ctx, name)
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

func TestRealDescriptorsAndLargeMessages(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Conn) {
		for _, size := range []int{0, 400 << 10} {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			// Each string stays below what execve(2) takes.
			var environment []string
			for i := range size / (64 << 10) {
				environment = append(environment, fmt.Sprintf("BIG%d=%s", i, strings.Repeat("x", 64<<10)))
			}
			name, _ := startReal(t, c, append(program("/bin/sh", "-c", "env | wc -c; exec sleep 600"),
				unit.Property{Name: "Environment", Value: dbus.MakeVariant(environment)},
				unit.Property{Name: "StandardOutputFileDescriptor", Value: dbus.MakeVariant(dbus.UnixFD(int32(w.Fd())))}))
			_ = w.Close()
			var got int
			_ = r.SetReadDeadline(time.Now().Add(patience))
			if _, err := fmt.Fscanln(r, &got); err != nil || got < size/(64<<10)*(64<<10) {
				t.Errorf("the program saw %d bytes of environment, %v; want at least %d", got, err, size)
			}
			// PID 1 keeps its copy until the unit is gone, then the pipe ends.
			if err := c.Stop(testContext(t), name); err != nil {
				t.Fatal(err)
			}
			_ = r.SetReadDeadline(time.Now().Add(patience))
			if rest, err := io.ReadAll(r); err != nil {
				t.Errorf("the pipe did not end: %q, %v", rest, err)
			}
			_ = r.Close()
		}
	})
}

func manage(t *testing.T, verb string) {
	t.Helper()
	if out, err := exec.CommandContext(testContext(t), "systemctl", verb).CombinedOutput(); err != nil {
		t.Fatalf("systemctl %s: %v: %s", verb, err, out)
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

// Whatever Start says while PID 1 executes itself anew must be true.
func TestRealStartsDuringReexec(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Conn) {
		stop := make(chan struct{})
		var reexec sync.WaitGroup
		reexec.Go(func() {
			for range 5 {
				select {
				case <-stop:
					return
				default:
					manage(t, "daemon-reexec")
				}
			}
		})
		var mu sync.Mutex
		var started, notStarted, unknown int
		var workers sync.WaitGroup
		for range 4 {
			workers.Go(func() {
				for range 25 {
					ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
					name := realUnit()
					_, err := c.start(ctx, name, program("/bin/sleep", "600"))
					there, lookErr := c.Status(ctx, name)
					mu.Lock()
					switch {
					case err == nil:
						started++
						if lookErr != nil || there.ActiveState != Active {
							t.Errorf("%s was said to run: %+v, %v", name, there, lookErr)
						}
					case errors.Is(err, ErrNotStarted):
						notStarted++
						if !errors.Is(lookErr, ErrNotFound) {
							t.Errorf("%s was said not to exist: %+v, %v", name, there, lookErr)
						}
					case errors.Is(err, ErrOutcomeUnknown):
						unknown++
						t.Logf("%v", err)
					default:
						t.Errorf("%s: %v", name, err)
					}
					mu.Unlock()
					_ = c.Kill(ctx, name, All, unix.SIGKILL)
					if err := c.Stop(ctx, name); err != nil && !errors.Is(err, ErrNotFound) {
						t.Errorf("%s: %v", name, err)
					}
					_ = c.ResetFailed(ctx, name)
					cancel()
				}
			})
		}
		workers.Wait()
		close(stop)
		reexec.Wait()
		t.Logf("started %d, not started %d, unknown %d", started, notStarted, unknown)
		if left, err := c.List(testContext(t), realPrefix+"*"); err != nil || len(left) != 0 {
			t.Errorf("left over: %v, %v", left, err)
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

func BenchmarkRealStatus(b *testing.B) {
	for _, transport := range transports {
		b.Run(transport.name, func(b *testing.B) {
			c, err := Dial(b.Context(), transport.options)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			name := realUnit()
			if _, err := c.start(b.Context(), name, program("/bin/sleep", "600")); err != nil {
				b.Fatal(err)
			}
			defer func() { _ = c.Stop(context.Background(), name) }()
			for b.Loop() {
				if _, err := c.Status(b.Context(), name); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
