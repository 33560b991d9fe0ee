// SPDX-License-Identifier: MPL-2.0

package journal

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Path is journald's socket.
const Path = "/run/systemd/journal/socket"

const (
	// patience is how long journald, which reads thousands of records a second,
	// may leave its queue full.
	patience = time.Second
	// noPatience is for a journald that did not read in that time: one try.
	noPatience = 2 * time.Millisecond
)

// Socket is a connection to journald, which renews itself. It may be used by many
// goroutines.
type Socket struct {
	path string

	mu   sync.Mutex // guards what follows
	conn *net.UnixConn
	down bool
}

// New is a connection to the socket at path, made when it is first needed.
func New(path string) *Socket { return &Socket{path: path} }

// Write hands r to journald. After an error journald does not have the record.
func (s *Socket) Write(r Record) error {
	b, err := Encode(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.sendLocked(b)
	// The socket of before is gone when systemd-journald.socket was restarted.
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		s.closeLocked()
		err = s.sendLocked(b)
	}
	s.down = errors.Is(err, os.ErrDeadlineExceeded)
	if err != nil {
		return fmt.Errorf("cannot write to the journal: %w", err)
	}
	return nil
}

func (s *Socket) sendLocked(b []byte) error {
	if s.conn == nil {
		// Connected, the kernel tells when a full queue has room again.
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.path, Net: "unixgram"})
		if err != nil {
			return err
		}
		s.conn = conn
	}
	wait := patience
	if s.down {
		wait = noPatience
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	_, err := s.conn.Write(b)
	return err
}

func (s *Socket) closeLocked() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}

// Close ends the connection; a later Write makes another.
func (s *Socket) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked()
}
