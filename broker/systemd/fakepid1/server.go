// SPDX-License-Identifier: MPL-2.0

// Package fakepid1 is a PID 1 for tests: it speaks D-Bus on a socket as
// systemd's private socket does, or as a system bus with systemd on it, keeps
// units in memory and behaves towards them as systemd was measured to do with
// Type=exec, RemainAfterExit=yes and CollectMode=inactive. Programs do not run;
// the test says when they end.
package fakepid1

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

// Server is a running fake. Its methods may be called by any goroutine.
type Server struct {
	tb   testing.TB
	path string
	bus  bool
	wg   sync.WaitGroup

	mu        sync.Mutex
	listener  *net.UnixListener // nil while the fake is away
	conns     map[*conn]struct{}
	units     map[string]*Unit
	files     []*os.File
	calls     []Call
	called    chan struct{} // closed and replaced at each call
	script    func(Start) Outcome
	faults    map[string]Fault
	refusals  map[string]*dbus.Error
	effective map[string]any // see Effective
	jobs      uint32
	pids      uint32
	owner     string // unique name on the bus
}

// New returns a fake that serves its private socket until the test ends.
func New(tb testing.TB) *Server { return start(tb, false) }

// NewBus returns a fake that serves a system bus it is connected to.
func NewBus(tb testing.TB) *Server { return start(tb, true) }

func start(tb testing.TB, bus bool) *Server {
	tb.Helper()
	dir, err := os.MkdirTemp("", "pid1") // tb.TempDir is too long for a socket
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{
		tb:       tb,
		path:     filepath.Join(dir, "private"),
		bus:      bus,
		conns:    make(map[*conn]struct{}),
		units:    make(map[string]*Unit),
		called:   make(chan struct{}),
		script:   func(Start) Outcome { return Outcome{} },
		faults:   make(map[string]Fault),
		refusals: make(map[string]*dbus.Error),
		pids:     1000,
		owner:    ":1.1",
	}
	s.Return()
	tb.Cleanup(func() {
		s.Leave()
		s.wg.Wait()
		for _, f := range s.files {
			_ = f.Close()
		}
		_ = os.RemoveAll(dir)
	})
	return s
}

// SocketPath is where the fake listens.
func (s *Server) SocketPath() string { return s.path }

// Leave stops listening and ends all connections, as PID 1 does before it
// executes itself anew. The units stay.
func (s *Server) Leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		_ = s.listener.Close()
		s.listener = nil
	}
	s.disconnectLocked()
}

// Return listens again.
func (s *Server) Return() {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.path, Net: "unix"})
	if err != nil {
		s.tb.Fatal(err)
	}
	s.listener = listener
	s.wg.Go(func() { s.accept(listener) })
}

// Disconnect ends all connections and accepts new ones.
func (s *Server) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disconnectLocked()
}

// Connections is the number of clients.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *Server) disconnectLocked() {
	for c := range s.conns {
		_ = c.sock.Close()
		delete(s.conns, c)
	}
}

func (s *Server) accept(listener *net.UnixListener) {
	for {
		sock, err := listener.AcceptUnix()
		if err != nil {
			return
		}
		c := &conn{sock: sock}
		s.mu.Lock()
		if s.listener != listener {
			s.mu.Unlock()
			_ = sock.Close()
			return
		}
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.wg.Go(func() { s.serve(c) })
	}
}

// serve answers one client, one message after the other.
func (s *Server) serve(c *conn) {
	defer func() {
		_ = c.sock.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	if err := c.authenticate(); err != nil {
		return
	}
	s.mu.Lock()
	c.ready = !s.bus // the private socket needs no subscription
	s.mu.Unlock()
	for {
		m, err := c.read()
		if err != nil {
			return
		}
		if m.Type == dbus.TypeMethodCall {
			s.handle(c, m)
		}
	}
}
