// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// shortListener cannot accept what comes first.
type shortListener struct {
	net.Listener
	fails []error
}

func (l *shortListener) Accept() (net.Conn, error) {
	if len(l.fails) > 0 {
		err := l.fails[0]
		l.fails = l.fails[1:]
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
	}
	client, server := net.Pipe()
	_ = client.Close()
	return server, nil
}

func TestAcceptGoesOnAfterALack(t *testing.T) {
	l := &shortListener{fails: []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS, unix.ECONNABORTED}}
	conn, err := accept(l, slog.New(slog.DiscardHandler))
	if err != nil || len(l.fails) > 0 {
		t.Fatalf("got %v with %v to come", err, l.fails)
	}
	_ = conn.Close()
}

func TestAcceptEndsWithItsListener(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if _, err := accept(l, slog.New(slog.DiscardHandler)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// records counts the records that are written to it.
type records struct{ n atomic.Int64 }

func (r *records) Write(p []byte) (int, error) {
	r.n.Add(1)
	return len(p), nil
}

// TestBadHandOversDoNotFillTheJournal, which takes all that the broker writes.
func TestBadHandOversDoNotFillTheJournal(t *testing.T) {
	w := newWorld(t)
	w.log.n.Store(0)
	limiter, now := w.server.audit.refusals, time.Now()
	limiter.mu.Lock()
	limiter.now = func() time.Time { return now }
	limiter.mu.Unlock()
	for range 3 * int(refusalRate.burst) {
		if got := w.handOver(strings.Repeat("a", 64)); got == "ok" {
			t.Fatal("accepted")
		}
	}
	if n := w.log.n.Load(); n == 0 || n > int64(refusalRate.burst) {
		t.Errorf("there are %d records of %d bad messages, want 1 to %v", n, 3*int(refusalRate.burst), refusalRate.burst)
	}
}
