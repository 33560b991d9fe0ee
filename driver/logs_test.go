// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestOpenLog(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		unix.Mkfifo(path("fifo"), 0o600),
		os.WriteFile(path("file"), nil, 0o600),
		os.Symlink(path("fifo"), path("link")),
	); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path string
		ok         bool
	}{
		{"a FIFO without a reader", path("fifo"), true},
		{"/dev/null, when logs are off", "/dev/null", true},
		{"a file in the FIFO's place", path("file"), false},
		{"a symlink in the FIFO's place", path("link"), false},
		{"another device", "/dev/zero", false},
		{"nothing", path("none"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fd, err := openLog(tt.path)
			if (err == nil) != tt.ok {
				t.Fatalf("got %v, want opened: %v", err, tt.ok)
			}
			if err == nil {
				flags, err := unix.FcntlInt(fd.Fd(), unix.F_GETFL, 0)
				if err != nil || flags&unix.O_NONBLOCK != 0 {
					t.Errorf("the task would not block on a full log: flags %o, %v", flags, err)
				}
				_ = fd.Close()
			}
		})
	}
}

func TestAwaitCollected(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	collector, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(collector) //nolint:errcheck // only read
	output, err := unix.Open(path, unix.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := []byte("the last words")
	if _, err := unix.Write(output, text); err != nil {
		t.Fatal(err)
	}
	if err := unix.Close(output); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		awaitCollected(t.Context(), "/dev/null", filepath.Join(path, "none"), path)
		close(done)
	}()
	select {
	case <-done:
		t.Error("it does not wait for the collector")
	case <-time.After(5 * collectPeriod):
	}
	buf := make([]byte, 64)
	if n, err := unix.Read(collector, buf); err != nil || string(buf[:n]) != string(text) {
		t.Errorf("the collector reads %q, %v", buf[:n], err)
	}
	<-done
	if n, err := unix.Read(collector, buf); n != 0 || err != nil {
		t.Errorf("the collector does not see the end: %d, %v", n, err)
	}
}

// TestHandOversQueue: a node that boots starts all its tasks at once, and the
// broker takes 16 connections of one user.
func TestHandOversQueue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fds.sock")
	l, err := net.Listen("unixpacket", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var now, most atomic.Int32
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				n := now.Add(1)
				for old := most.Load(); n > old && !most.CompareAndSwap(old, n); {
					old = most.Load()
				}
				_, _ = conn.Read(make([]byte, 64))
				<-time.After(10 * time.Millisecond)
				now.Add(-1)
				_, _ = conn.Write([]byte("ok"))
			}()
		}
	}()
	b, err := newBroker(Config{BrokerSocket: "/none", FDSocket: path}, uint32(os.Getuid()))
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			if _, err := b.handOver(t.Context(), os.Stdin, os.Stdin); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n < 2 || n > 16 {
		t.Errorf("up to %d descriptors were handed over at once", n)
	}
}

// TestHandOverOutlivesTheBroker: one that ends with a connection takes what it was given
// with it, and PID 1's socket is the next one's.
func TestHandOverOutlivesTheBroker(t *testing.T) {
	path := t.TempDir() + "/fds.sock"
	l, err := net.Listen("unixpacket", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tokens := make(chan string, 3)
	go func() {
		for i := range 3 {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			token := make([]byte, 64)
			if i > 0 { // the first one has not read it: the end is another error then
				_, _ = conn.Read(token)
			}
			if tokens <- string(token); i == 2 {
				_, _ = conn.Write([]byte("ok"))
			}
			_ = conn.Close()
		}
	}()
	b, err := newBroker(Config{BrokerSocket: "/none", FDSocket: path}, uint32(os.Getuid()))
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	token, err := b.handOver(t.Context(), os.Stdin, os.Stdin)
	if err != nil {
		t.Fatal(err)
	}
	<-tokens
	if lost, kept := <-tokens, <-tokens; kept != token || kept == lost {
		t.Errorf("the token is %q, the broker has %q, and the one before had %q", token, kept, lost)
	}
}

// results are what reads of a socket give, one after the other.
type results []string

func (r *results) Read(p []byte) (int, error) {
	if len(*r) == 0 || (*r)[0] == "" {
		*r = (*r)[min(1, len(*r)):]
		return 0, io.EOF
	}
	n := copy(p, (*r)[0])
	*r = (*r)[1:]
	return n, nil
}

func TestAnswerAfterItsEnd(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reads results
		want  string
		err   error
	}{
		{"an answer", results{"ok", ""}, "ok", nil},
		{"the end is told first", results{"", "ok", ""}, "ok", nil},
		{"no answer", results{"", ""}, "", io.EOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := readAnswer(&tt.reads); got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
