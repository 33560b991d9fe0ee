// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"sync"
)

var errPadded = errors.New("a client pads its messages, which no client of gRPC does")

// meteredConn bounds what the calls of a connection make the broker keep. gRPC bounds
// each call, and the number of calls, which allows much more in all than the broker
// has. What comes over the budget of its user ends a connection.
//
// A call counts from its headers to the end of its answer. That is the whole of it
// as long as no call takes more than one message (TestCallsTakeOneMessage).
type meteredConn struct {
	*limitedConn
	*meter
}

// Read implements net.Conn. That gRPC reads by it, and not past it, is shown by
// TestHalfMessagesAreBounded.
func (c meteredConn) Read(b []byte) (int, error) {
	n, err := c.limitedConn.Read(b)
	if bad := c.received(b[:n]); bad != nil {
		_ = c.Close()
		return 0, bad
	}
	return n, err
}

// Write implements net.Conn.
func (c meteredConn) Write(b []byte) (int, error) {
	n, err := c.limitedConn.Write(b)
	c.sent(b[:n])
	return n, err
}

// Close implements net.Conn.
func (c meteredConn) Close() error {
	c.end()
	return c.limitedConn.Close()
}

// meter counts what the calls of one connection make the broker keep.
type meter struct {
	budget *budget
	uid    uint32

	mu      sync.Mutex
	in, out frames
	last    uint32         // the newest call
	calls   map[uint32]int // what each keeps
	answers int            // what was not sent yet
	ended   bool
}

func newMeter(b *budget, uid uint32) *meter {
	return &meter{budget: b, uid: uid, in: frames{skip: prefaceBytes}, calls: make(map[uint32]int)}
}

// received counts what the client sent, and is an error when that is too much.
func (m *meter) received(b []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.in.feed(b, m.receivedLocked)
}

func (m *meter) receivedLocked(f frame) error {
	kept, open := m.calls[f.stream]
	switch {
	case m.ended: // all was given back
	case f.kind == frameHeaders && f.stream > m.last:
		m.last = f.stream
		return m.keepLocked(f.stream, streamCost)
	case f.kind == frameData && f.flags&flagPadded != 0:
		return errPadded
	case f.kind == frameData && open && f.length > 0:
		return m.keepLocked(f.stream, f.length+chunkCost)
	case f.kind == frameReset && open:
		m.dropLocked(f.stream, kept)
	}
	return nil
}

func (m *meter) keepLocked(call uint32, n int) error {
	if !m.budget.take(m.uid, n) {
		return errKept
	}
	m.calls[call] += n
	return nil
}

func (m *meter) dropLocked(call uint32, kept int) {
	delete(m.calls, call)
	m.budget.give(m.uid, kept)
	if len(m.calls) == 0 { // answers to calls that the client took back are not sent
		m.answeredLocked(m.answers)
	}
}

func (m *meter) answeredLocked(n int) {
	m.answers -= n
	m.budget.give(m.uid, n)
}

// sent takes note of the end of calls.
func (m *meter) sent(b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.out.feed(b, func(f frame) error { // there is none
		kept, open := m.calls[f.stream]
		if open && (f.kind == frameReset || f.kind == frameHeaders && f.flags&flagEndStream != 0) {
			m.dropLocked(f.stream, kept)
		}
		if f.kind == frameData {
			m.answeredLocked(min(f.length, m.answers))
		}
		return nil
	})
}

// answer counts an answer of n bytes, which gRPC keeps until the client reads it.
func (m *meter) answer(n int) error {
	n += messageHeaderBytes
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended || len(m.calls) == 0 { // gRPC keeps no answer to a call that was taken back
		return nil
	}
	if !m.budget.take(m.uid, n) {
		return errKept
	}
	m.answers += n
	return nil
}

// hold counts what a decoded message takes beside its bytes, until it is released.
func (m *meter) hold(elements int) (release func(), err error) {
	n := elements * elementCost
	if !m.budget.take(m.uid, n) {
		return nil, errKept
	}
	return func() { m.budget.give(m.uid, n) }, nil
}

// end gives all back that the connection kept.
func (m *meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for call, kept := range m.calls {
		m.dropLocked(call, kept)
	}
	m.answeredLocked(m.answers)
	m.ended = true
}
