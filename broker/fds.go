// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/policy"
)

const (
	// fdLifetime is how long handed-over descriptors wait for their StartUnit.
	fdLifetime = 30 * time.Second
	// fdHandTimeout bounds a hand-over, so that a silent client holds nothing.
	fdHandTimeout = 5 * time.Second
	// maxWaitingFDs bounds the sets of one client that wait at once.
	maxWaitingFDs = 64
	tokenBytes    = 64
)

// Numbers of descriptors that belong together.
const (
	logFDs     = 2 // standard output and error of a unit
	sessionFDs = 3 // standard input, output and error of a session
)

// descriptors are what a client handed over, on their way to PID 1.
type descriptors []int

func (d descriptors) close() {
	for _, fd := range d {
		_ = unix.Close(fd)
	}
}

// enough reports what is wrong with descriptors of which a call needs n.
func (d descriptors) enough(n int) error {
	switch len(d) {
	case n:
		return nil
	case 0:
		return invalid("fd_token", "no descriptors wait under this token; hand them over first, at most %s before", fdLifetime)
	}
	return invalid("fd_token", "%d descriptors wait under this token, %d are needed", len(d), n)
}

// fdStore keeps descriptors that clients handed over until the StartUnit or
// ExecInUnit that names their token takes them. A token belongs to the uid that sent it.
type fdStore struct {
	mu      sync.Mutex
	waiting map[fdKey]waitingFDs
	count   map[uint32]int
}

type fdKey struct {
	uid   uint32
	token string
}

type waitingFDs struct {
	descriptors
	expire *time.Timer
}

// keyOf is the key of descriptors that the peer of an RPC handed over.
func keyOf(ctx context.Context, token string) fdKey {
	p, err := peerOf(ctx)
	if err != nil {
		return fdKey{} // nothing ever waits under it
	}
	return fdKey{p.UID, token}
}

func newFDStore() *fdStore {
	return &fdStore{waiting: make(map[fdKey]waitingFDs), count: make(map[uint32]int)}
}

// put keeps fds under the token, or reports why it does not; then they are
// still the caller's.
func (s *fdStore) put(key fdKey, fds descriptors) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.waiting[key]; ok {
		return errors.New("this token is in use; choose a new random one")
	}
	if s.count[key.uid] >= maxWaitingFDs {
		return fmt.Errorf("%d sets of descriptors wait to be used already", maxWaitingFDs)
	}
	s.count[key.uid]++
	s.waiting[key] = waitingFDs{fds, time.AfterFunc(fdLifetime, func() {
		if fds, ok := s.remove(key); ok {
			fds.close()
		}
	})}
	return nil
}

// take gives the descriptors that wait to the caller: none if there are none.
func (s *fdStore) take(key fdKey) descriptors {
	fds, _ := s.remove(key)
	return fds
}

func (s *fdStore) remove(key fdKey) (descriptors, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.waiting[key]
	if !ok {
		return nil, false
	}
	w.expire.Stop()
	delete(s.waiting, key)
	if s.count[key.uid]--; s.count[key.uid] == 0 {
		delete(s.count, key.uid)
	}
	return w.descriptors, true
}

// ServeFDs takes descriptors from clients over l, a SOCK_SEQPACKET Unix socket,
// until ctx ends. A client sends one message, a token of 64 hexadecimal digits
// with two or three descriptors attached (SCM_RIGHTS), and gets "ok" or a reason.
func (s *Server) ServeFDs(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	limited := newLimitListener(l, s.log, maxHandOversPerUID)
	for {
		conn, err := limited.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil // closed on purpose
			}
			return fmt.Errorf("cannot accept on the descriptor socket: %w", err)
		}
		go func() {
			defer conn.Close() //nolint:errcheck // nothing to lose
			p, err := s.readPeer(conn)
			if err != nil || s.admit(p) != nil {
				return // on record already, if there is somebody
			}
			if err := s.handOver(conn, p); err != nil && s.audit.may(s.audit.refusals, peerKey(p)) {
				s.log.Warn("cannot take descriptors from a client", slog.Uint64("uid", uint64(p.UID)), slog.Any("error", err))
			}
		}()
	}
}

func (s *Server) handOver(conn net.Conn, p policy.Peer) error {
	if err := conn.SetDeadline(time.Now().Add(fdHandTimeout)); err != nil {
		return err
	}
	token, fds, err := receive(conn)
	if err == nil {
		if err = s.keep(p, token, fds); err != nil {
			fds.close()
		}
	}
	if err != nil {
		_, _ = conn.Write([]byte(err.Error()))
		return err
	}
	_, err = conn.Write([]byte("ok"))
	return err
}

func (s *Server) keep(p policy.Peer, token string, fds descriptors) error {
	if !tokenPattern.MatchString(token) {
		return errors.New("the token is not 64 hexadecimal digits")
	}
	if err := checkDescriptors(fds, p.UID); err != nil {
		return err
	}
	return s.fds.put(fdKey{p.UID, token}, fds)
}

// receive reads one message with its descriptors. When they are too many or too
// few, all are closed.
func receive(conn net.Conn) (string, descriptors, error) {
	uc, ok := conn.(interface {
		ReadMsgUnix(b, oob []byte) (n, oobn, flags int, addr *net.UnixAddr, err error)
	})
	if !ok {
		return "", nil, fmt.Errorf("cannot receive descriptors over a %T", conn)
	}
	buf, oob := make([]byte, tokenBytes+1), make([]byte, unix.CmsgSpace(sessionFDs*4))
	n, oobn, flags, _, err := uc.ReadMsgUnix(buf, oob)
	if err != nil {
		return "", nil, fmt.Errorf("cannot receive descriptors: %w", err)
	}
	fds, err := parseRights(oob[:oobn])
	if err == nil && (len(fds) != logFDs && len(fds) != sessionFDs || flags&(unix.MSG_CTRUNC|unix.MSG_TRUNC) != 0) {
		err = fmt.Errorf("the message holds %d descriptors and %d bytes; %d or %d and %d are expected", len(fds), n, logFDs, sessionFDs, tokenBytes)
	}
	if err != nil {
		fds.close()
		return "", nil, err
	}
	return string(buf[:n]), fds, nil
}

func parseRights(oob []byte) (descriptors, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("cannot read the descriptors: %w", err)
	}
	var all descriptors
	for _, m := range messages {
		// ParseUnixRights reads past the end of a message that ends within a number.
		if len(m.Data)%4 != 0 {
			return all, fmt.Errorf("cannot read the descriptors: a message of %d bytes", len(m.Data))
		}
		fds, err := unix.ParseUnixRights(&m)
		all = append(all, fds...)
		if err != nil {
			return all, fmt.Errorf("cannot read the descriptors: %w", err)
		}
	}
	for _, fd := range all {
		unix.CloseOnExec(fd)
	}
	return all, nil
}
