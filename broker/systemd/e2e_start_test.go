// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package systemd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/unit"
)

func TestRealProgramEnds(t *testing.T) {
	tests := []struct {
		name  string
		args  []string
		state Status // the fields that matter
	}{
		{"well", []string{"/bin/true"}, Status{ActiveState: Active, Result: ResultSuccess, ExecMainCode: CodeExited}},
		{
			"with an exit code",
			[]string{"/bin/sh", "-c", "exit 7"},
			Status{ActiveState: Failed, Result: ResultExitCode, ExecMainCode: CodeExited, ExecMainStatus: 7},
		},
		{
			"by a signal",
			[]string{"/bin/sh", "-c", "kill -KILL $$$$"},
			Status{ActiveState: Failed, Result: ResultSignal, ExecMainCode: CodeKilled, ExecMainStatus: 9},
		},
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
			for _, read := range []struct {
				name string
				of   func(context.Context, string) (Status, error)
			}{{"any", c.Status}, {"listed", c.StatusListed}} {
				b.Run(read.name, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if _, err := read.of(b.Context(), name); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}

// BenchmarkRealReadBack is the end of a start: the state of the unit, and 40 of its
// properties compared with what was sent.
func BenchmarkRealReadBack(b *testing.B) {
	c, err := Dial(b.Context(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	var sent []unit.Property
	for name := range strings.FieldsSeq(`CPUAccounting MemoryAccounting TasksAccounting IOAccounting NoNewPrivileges LockPersonality
		RestrictRealtime RestrictSUIDSGID IgnoreSIGPIPE SendSIGKILL RemainAfterExit`) {
		sent = append(sent, unit.Property{Name: name, Value: dbus.MakeVariant(true)})
	}
	for name := range strings.FieldsSeq(`CPU FSIZE DATA STACK CORE RSS NOFILE AS NPROC MEMLOCK LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME`) {
		sent = append(sent, unit.Property{Name: "Limit" + name, Value: dbus.MakeVariant(uint64(1 << 20))})
	}
	for name, v := range map[string]any{
		"TasksMax": uint64(100), "MemoryMax": uint64(1 << 30), "MemoryHigh": uint64(1 << 29), "MemorySwapMax": uint64(0), "CPUWeight": uint64(100),
		"UMask": uint32(0o22), "KillMode": "control-group", "OOMPolicy": "kill", "SyslogIdentifier": "bench", "KeyringMode": "private",
		"Environment": []string{"A=b"}, "TimeoutStopUSec": uint64(5e6), "IOWeight": uint64(100),
	} {
		sent = append(sent, unit.Property{Name: name, Value: dbus.MakeVariant(v)})
	}
	name := realUnit()
	if _, err := c.start(b.Context(), name, append(program("/bin/sleep", "600"), sent...), sent...); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Stop(context.Background(), name) }()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.verified(b.Context(), name, sent); err != nil {
			b.Fatal(err)
		}
	}
}
