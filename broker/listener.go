// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"net"
	"sync"
)

const (
	maxConns       = 64
	maxConnsPerUID = 16
)

// limitListener bounds the connections that are open at once, in all and for
// each uid, since gRPC itself has no bound. A connection over the limit is
// closed at once, so a client that floods hurts only itself.
type limitListener struct {
	net.Listener
	mu    sync.Mutex
	total int
	byUID map[uint32]int
}

func newLimitListener(l net.Listener) *limitListener {
	return &limitListener{Listener: l, byUID: make(map[uint32]int)}
}

// Accept implements net.Listener.
func (l *limitListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
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
		return &limitedConn{UnixConn: uc, leave: func() { l.leave(p.UID) }}, nil
	}
}

func (l *limitListener) enter(uid uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= maxConns || l.byUID[uid] >= maxConnsPerUID {
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
