// SPDX-License-Identifier: MPL-2.0

package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Conn is an authenticated connection. Its methods may be called by any number
// of goroutines.
type Conn struct {
	sock     *net.UnixConn
	onSignal func(Signal)
	out      chan *outgoing
	done     chan struct{}
	workers  sync.WaitGroup

	mu      sync.Mutex
	err     error // why the connection ended, set before done is closed
	serial  uint32
	waiting map[uint32]pending
}

// Reply is the answer to one call.
type Reply struct {
	Body []any
	Err  *Error // set if the peer answered with an error

	index int // place of the call in its batch
}

// pending is where the reply to one serial goes.
type pending struct {
	answers chan<- Reply // has room for every reply of its batch
	index   int
	only    map[string]bool // see Call
}

// outgoing is what is written in one piece.
type outgoing struct {
	data []byte
	fds  []int // duplicates, owned by this value
}

// Dial connects to the socket and authenticates. onSignal is called for each
// signal, in order, by the goroutine that reads: it must return quickly and
// must not call into the connection, except for [Conn.Fail].
func Dial(ctx context.Context, path string, onSignal func(Signal)) (*Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	sock := nc.(*net.UnixConn)
	// A context that ends makes the exchange fail at once.
	stop := context.AfterFunc(ctx, func() { _ = sock.SetDeadline(time.Unix(1, 0)) })
	err = authenticate(sock)
	if !stop() {
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		_ = sock.Close()
		return nil, err
	}
	c := &Conn{
		sock:     sock,
		onSignal: onSignal,
		out:      make(chan *outgoing),
		done:     make(chan struct{}),
		waiting:  make(map[uint32]pending),
	}
	c.workers.Go(c.read)
	c.workers.Go(c.write)
	return c, nil
}

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err tells why the connection ended; nil while it lives.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection and waits until onSignal cannot be called any more.
// onSignal itself must not call it.
func (c *Conn) Close() {
	c.Fail(ErrClosed)
	c.workers.Wait()
}

// Fail ends the connection for the given reason; the first reason stays.
func (c *Conn) Fail(reason error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = reason
		close(c.done)
	}
	c.mu.Unlock()
	if first {
		_ = c.sock.Close()
	}
}

// Do sends the calls in one piece, in order, and waits for all their replies.
// File descriptors in the arguments are duplicated, so the caller may close its
// own as soon as Do returns. The error is ErrNotSent or ErrNoReply with the
// cause, or says what cannot be encoded; an error reply of the peer is not an
// error of Do.
func (c *Conn) Do(ctx context.Context, calls ...Call) ([]Reply, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	answers := make(chan Reply, len(calls))
	serials, err := c.register(calls, answers)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	defer c.forget(serials)
	o, err := encodeAll(calls, serials)
	if err != nil {
		return nil, err
	}
	select {
	case c.out <- o:
	case <-ctx.Done():
		o.close()
		return nil, fmt.Errorf("%w: %w", ErrNotSent, ctx.Err())
	case <-c.done:
		o.close()
		return nil, fmt.Errorf("%w: %w", ErrNotSent, c.Err())
	}
	return c.collect(ctx, answers, len(calls))
}

func (c *Conn) collect(ctx context.Context, answers <-chan Reply, n int) ([]Reply, error) {
	replies := make([]Reply, n)
	for range n {
		select {
		case r := <-answers:
			replies[r.index] = r
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrNoReply, ctx.Err())
		case <-c.done:
			// What was read before the end still counts.
			select {
			case r := <-answers:
				replies[r.index] = r
			default:
				return nil, fmt.Errorf("%w: %w", ErrNoReply, c.Err())
			}
		}
	}
	return replies, nil
}

// register reserves a serial for each call; the replies go to answers.
func (c *Conn) register(calls []Call, answers chan<- Reply) ([]uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	serials := make([]uint32, len(calls))
	for i := range serials {
		c.serial = c.nextSerialLocked()
		serials[i] = c.serial
		c.waiting[c.serial] = pending{answers, i, calls[i].Only}
	}
	return serials, nil
}

func (c *Conn) forget(serials []uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range serials {
		delete(c.waiting, s)
	}
}

func (c *Conn) nextSerialLocked() uint32 {
	for next := c.serial + 1; ; next++ {
		if _, taken := c.waiting[next]; !taken && next != 0 {
			return next
		}
	}
}
