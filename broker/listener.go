// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	maxConns = 64
	// maxConnsPerUID: a client has one connection for all its units, and a second while
	// its driver is replaced. Each may have maxStreams, whose memory the broker pays for.
	maxConnsPerUID = 8
	// maxHandOversPerUID: each start has a connection of its own, for a moment.
	maxHandOversPerUID = 16
)

// limitListener bounds the connections that are open at once, in all and for
// each uid, since gRPC itself has no bound. A connection over the limit is
// closed at once, so a client that floods hurts only itself.
type limitListener struct {
	net.Listener
	log    *slog.Logger
	perUID int
	kept   *budget // of the calls of its connections; nil where there are none

	mu    sync.Mutex
	total int
	byUID map[uint32]int
}

func newLimitListener(l net.Listener, log *slog.Logger, perUID int) *limitListener {
	return &limitListener{Listener: l, log: log, perUID: perUID, byUID: make(map[uint32]int)}
}

// Accept implements net.Listener.
func (l *limitListener) Accept() (net.Conn, error) {
	for {
		conn, err := accept(l.Listener, l.log)
		if err != nil {
			return nil, err
		}
		uc, ok := conn.(*net.UnixConn)
		if !ok {
			_ = conn.Close()
			continue
		}
		p, err := readPeer(uc)
		if err != nil || !l.enter(p.UID) {
			_ = conn.Close()
			continue
		}
		limited := &limitedConn{UnixConn: uc, leave: func() { l.leave(p.UID) }}
		if l.kept == nil {
			return limited, nil
		}
		return meteredConn{limited, newMeter(l.kept, p.UID)}, nil
	}
}

// maxAcceptWait is how long a listener waits at most when it cannot accept.
const maxAcceptWait = time.Second

// accept waits while there is a lack of something, be it descriptors or memory, which
// passes, and is no reason to end the broker. It is an error when l is closed.
func accept(l net.Listener, log *slog.Logger) (net.Conn, error) {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, maxAcceptWait) {
		conn, err := l.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return conn, err
		}
		if wait == maxAcceptWait { // once in a while
			log.Warn("cannot accept connections; trying again", slog.String("socket", l.Addr().String()), slog.Any("error", err))
		}
		<-time.After(wait)
	}
}

// newCallListener is for calls: it also bounds what they make the broker keep.
func newCallListener(l net.Listener, log *slog.Logger, kept *budget) *limitListener {
	limited := newLimitListener(l, log, maxConnsPerUID)
	limited.kept = kept
	return limited
}

func (l *limitListener) enter(uid uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= maxConns || l.byUID[uid] >= l.perUID {
		return false
	}
	l.total++
	l.byUID[uid]++
	return true
}

func (l *limitListener) leave(uid uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.byUID[uid]--; l.byUID[uid] == 0 {
		delete(l.byUID, uid)
	}
}

type limitedConn struct {
	*net.UnixConn
	once  sync.Once
	leave func()
}

// Close implements net.Conn and gives the connection's place back, once.
func (c *limitedConn) Close() error {
	c.once.Do(c.leave)
	return c.UnixConn.Close()
}
