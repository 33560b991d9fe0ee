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
	// maxWaitingFDs bounds the pairs of one client that wait at once.
	maxWaitingFDs = 64
	tokenBytes    = 64
)

// logFDs are a unit's standard output and error on their way to PID 1.
type logFDs struct{ stdout, stderr int }

func (l logFDs) close() {
	_ = unix.Close(l.stdout)
	_ = unix.Close(l.stderr)
}

// fdStore keeps descriptors that clients handed over until the StartUnit that
// names their token takes them. A token belongs to the uid that sent it.
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
	logFDs
	expire *time.Timer
}

func newFDStore() *fdStore {
	return &fdStore{waiting: make(map[fdKey]waitingFDs), count: make(map[uint32]int)}
}

// put keeps fds under the token, or reports why it does not; then they are
// still the caller's.
func (s *fdStore) put(key fdKey, fds logFDs) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.waiting[key]; ok {
		return errors.New("this token is in use; choose a new random one")
	}
	if s.count[key.uid] >= maxWaitingFDs {
		return fmt.Errorf("%d pairs of descriptors wait for their StartUnit already", maxWaitingFDs)
	}
	s.count[key.uid]++
	s.waiting[key] = waitingFDs{fds, time.AfterFunc(fdLifetime, func() {
		if fds, ok := s.take(key); ok {
			fds.close()
		}
	})}
	return nil
}

// take removes the descriptors and gives them to the caller.
func (s *fdStore) take(key fdKey) (logFDs, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.waiting[key]
	if !ok {
		return logFDs{}, false
	}
	w.expire.Stop()
	delete(s.waiting, key)
	if s.count[key.uid]--; s.count[key.uid] == 0 {
		delete(s.count, key.uid)
	}
	return w.logFDs, true
}

// ServeFDs takes descriptors from clients over l, a SOCK_SEQPACKET Unix socket,
// until ctx ends. A client sends one message, a token of 64 hexadecimal digits
// with exactly two descriptors attached (SCM_RIGHTS), and gets "ok" or a reason.
func (s *Server) ServeFDs(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	limited := newLimitListener(l)
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
			if err := s.handOver(conn); err != nil {
				s.log.Warn("cannot take descriptors from a client", slog.Any("error", err))
			}
		}()
	}
}

func (s *Server) handOver(conn net.Conn) error {
	p, err := s.readPeer(conn)
	if err != nil {
		return err
	}
	if err := s.admit(p); err != nil {
		return err
	}
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
		return fmt.Errorf("uid %d: %w", p.UID, err)
	}
	_, err = conn.Write([]byte("ok"))
	return err
}

func (s *Server) keep(p policy.Peer, token string, fds logFDs) error {
	if !tokenPattern.MatchString(token) {
		return errors.New("the token is not 64 hexadecimal digits")
	}
	for _, fd := range []int{fds.stdout, fds.stderr} {
		if err := checkLogFD(fd, p.UID); err != nil {
			return err
		}
	}
	return s.fds.put(fdKey{p.UID, token}, fds)
}

// receive reads one message with two descriptors. Whatever else came attached
// is closed.
func receive(conn net.Conn) (string, logFDs, error) {
	uc, ok := conn.(interface {
		ReadMsgUnix(b, oob []byte) (n, oobn, flags int, addr *net.UnixAddr, err error)
	})
	if !ok {
		return "", logFDs{}, fmt.Errorf("cannot receive descriptors over a %T", conn)
	}
	buf, oob := make([]byte, tokenBytes+1), make([]byte, unix.CmsgSpace(2*4))
	n, oobn, flags, _, err := uc.ReadMsgUnix(buf, oob)
	if err != nil {
		return "", logFDs{}, fmt.Errorf("cannot receive descriptors: %w", err)
	}
	fds, err := parseRights(oob[:oobn])
	if err == nil && (len(fds) != 2 || flags&(unix.MSG_CTRUNC|unix.MSG_TRUNC) != 0) {
		err = fmt.Errorf("the message holds %d descriptors and %d bytes; 2 and %d are expected", len(fds), n, tokenBytes)
	}
	if err != nil {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
		return "", logFDs{}, err
	}
	return string(buf[:n]), logFDs{fds[0], fds[1]}, nil
}

func parseRights(oob []byte) ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("cannot read the descriptors: %w", err)
	}
	var all []int
	for _, m := range messages {
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

// checkLogFD accepts what a unit may write its output to: a FIFO of the
// client's own, or /dev/null. The broker never opens a path for a log, so there
// is no path to be swapped.
func checkLogFD(fd int, uid uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("cannot look at a descriptor: %w", err)
	}
	mode, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return fmt.Errorf("cannot look at a descriptor: %w", err)
	}
	if mode&unix.O_PATH != 0 || mode&unix.O_ACCMODE == unix.O_RDONLY {
		return errors.New("a log descriptor is not open for writing")
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		if st.Uid != uid {
			return fmt.Errorf("a log FIFO belongs to uid %d, not to the client", st.Uid)
		}
		return nil
	case unix.S_IFCHR:
		if st.Rdev == unix.Mkdev(1, 3) {
			return nil
		}
	}
	return errors.New("a log descriptor is neither a FIFO nor /dev/null")
}
