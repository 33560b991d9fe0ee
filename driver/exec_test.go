// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/drivers/proto"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// output collects what a session writes.
type output struct {
	mu sync.Mutex
	bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Buffer.Write(p)
}

func (*output) Close() error { return nil }

func TestExecStreaming(t *testing.T) {
	_, d, h := started(t)
	tests := []struct {
		name, script, stdin string
		tty                 bool
		stdout, stderr      string
		code                int
	}{
		{name: "both outputs and the exit code", script: "echo out; echo err >&2; exit 43", stdout: "out\n", stderr: "err\n", code: 43},
		{name: "input and its end", script: "cat; echo end", stdin: "a\nb\n", stdout: "a\nb\nend\n"},
		{name: "much output", script: "head -c 300000 /dev/zero | tr '\\0' x", stdout: strings.Repeat("x", 300000)},
		{name: "output blocks as programs expect", script: "grep -c 'flags:.*4...$' /proc/self/fdinfo/1", stdout: "0\n", code: 1},
		{name: "a terminal", script: "test -t 0 && test -t 1 && test -t 2 && echo yes; exit 3", tty: true, stdout: "yes\r\n", code: 3},
		{name: "the size of a terminal", script: "sleep 0.3; stty size", tty: true, stdout: "24 80\r\n"},
		{name: "the end of input of a terminal", script: "stty -echo; echo ready; cat; echo end", stdin: "a\n", tty: true, stdout: "end\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			var stdout, stderr output
			sizes := make(chan drivers.TerminalSize, 1)
			sizes <- drivers.TerminalSize{Height: 24, Width: 80}
			r, err := d.execStreaming(ctx, h.Config.ID, &drivers.ExecOptions{
				Command: []string{"/bin/sh", "-c", tt.script}, Tty: tt.tty,
				Stdin: io.NopCloser(strings.NewReader(tt.stdin)), Stdout: &stdout, Stderr: &stderr, ResizeCh: sizes,
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := stdout.String(); r.ExitCode != tt.code || !strings.HasSuffix(got, tt.stdout) || !tt.tty && got != tt.stdout || stderr.String() != tt.stderr {
				t.Errorf("got %d %.80q %q, want %d %.80q %q", r.ExitCode, got, stderr.String(), tt.code, tt.stdout, tt.stderr)
			}
		})
	}
}

// typing is the agent's side of a session in which keys are pressed all the time.
type typing struct {
	ctx  context.Context
	exit chan int32
}

func (s typing) Recv() (*drivers.ExecTaskStreamingRequestMsg, error) {
	if s.ctx.Err() != nil {
		return nil, s.ctx.Err()
	}
	return &drivers.ExecTaskStreamingRequestMsg{Stdin: &proto.ExecTaskStreamingIOOperation{Data: []byte("x")}}, nil
}

func (s typing) Send(m *drivers.ExecTaskStreamingResponseMsg) error {
	if m.GetExited() {
		s.exit <- m.GetResult().GetExitCode()
	}
	return nil
}

func TestExitCodeOfASessionWithInputAtItsEnd(t *testing.T) {
	_, d, h := started(t)
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		s := typing{ctx, make(chan int32, 1)}
		done := make(chan error, 1)
		go func() {
			done <- d.ExecTaskStreamingRaw(ctx, h.Config.ID, []string{"/bin/sh", "-c", "exit 5"}, false, s)
		}()
		select {
		case code := <-s.exit:
			if code != 5 {
				t.Errorf("exit code %d, want 5", code)
			}
		case err := <-done:
			t.Errorf("no exit code: %v", err)
			done <- nil
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestSessionOfMuchOutputOutlivesItsExitForLonger, but not for ever.
func TestSessionOfMuchOutputOutlivesItsExitForLonger(t *testing.T) {
	c := &counted{ExecTaskStream: typing{t.Context(), nil}}
	part := &proto.ExecTaskStreamingIOOperation{Data: make([]byte, 1000)}
	for _, m := range []*drivers.ExecTaskStreamingResponseMsg{{Stdout: part}, {Stderr: part}} {
		if err := c.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		output int64
		want   time.Duration
	}{
		{0, 8 * time.Second},
		{c.bytes.Load(), 8*time.Second + 60*time.Millisecond},
		{1 << 20, 39457280 * time.Microsecond},
		{1 << 40, time.Minute},
	} {
		if got := exitIsRead(tt.output); got != tt.want {
			t.Errorf("after %d bytes %s, want %s", tt.output, got, tt.want)
		}
	}
}

func TestExecTask(t *testing.T) {
	b, d, h := started(t)
	r, err := d.ExecTask(h.Config.ID, []string{"/bin/sh", "-c", "cat; echo out; echo err >&2; exit 2"}, patience)
	if err != nil || r.ExitResult.ExitCode != 2 || string(r.Stdout) != "out\n" || string(r.Stderr) != "err\n" {
		t.Errorf("got %+v, %v", r, err)
	}
	r, err = d.ExecTask(h.Config.ID, []string{"/bin/sh", "-c", "head -c 100000 /dev/zero; echo end"}, patience)
	if err != nil || len(r.Stdout) != drivers.CheckBufSize || !strings.HasSuffix(string(r.Stdout), "end\n") {
		t.Errorf("got %d bytes, %v; want the last %d", len(r.Stdout), err, drivers.CheckBufSize)
	}
	_, err = d.ExecTask(h.Config.ID, []string{"/bin/sleep", "60"}, 200*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "did not end within 200ms") {
		t.Errorf("got %v, want an error about the time", err)
	}
	if _, err = d.ExecTask(h.Config.ID, nil, patience); err == nil || !strings.Contains(err.Error(), "no command") {
		t.Errorf("got %v for no command", err)
	}
	if _, err = d.ExecTask("other", []string{"true"}, patience); !errors.Is(err, drivers.ErrTaskNotFound) {
		t.Errorf("got %v for an unknown task", err)
	}
	if r, err := d.ExecTask(h.Config.ID, []string{"/bin/false"}, patience); err == nil || !strings.Contains(err.Error(), "no exit status") {
		t.Errorf("got %+v, %v for a program whose end is not known", r, err)
	}
	b.change(func() { b.startErr = status.Error(codes.NotFound, "the unit does not run any more") })
	if _, err = d.ExecTask(h.Config.ID, []string{"true"}, patience); err == nil || !strings.Contains(err.Error(), "does not run any more") {
		t.Errorf("got %v", err)
	}
}
