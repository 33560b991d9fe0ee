// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"nomad-systemd-driver/broker/systemd/wire"
)

const (
	firstBackoff = 20 * time.Millisecond
	lastBackoff  = 500 * time.Millisecond

	// healthTimeout is how long PID 1 may take to answer and still count as
	// healthy.
	healthTimeout = 2 * time.Second
)

// Options of [Dial]. The zero value connects to the host's PID 1 and reports
// changes of every unit.
type Options struct {
	// PrivatePath and BusPath replace the sockets of PID 1 and the system bus.
	PrivatePath, BusPath string
	Logger               *slog.Logger
	// Watch selects the units whose changes Next reports; nil selects all. It
	// is called for every signal: it must be quick, and must neither block nor
	// call the Conn.
	Watch func(unit string) bool
}

// Conn is a connection to PID 1 that renews itself. Its methods may be called
// by any number of goroutines; each waits for a lost connection to come back as
// long as its context allows.
type Conn struct {
	options Options
	cancel  context.CancelFunc
	closed  <-chan struct{} // Close was called
	stopped chan struct{}   // the goroutine that reconnects has ended
	events  *events

	mu      sync.Mutex
	link    *link         // nil while there is none
	changed chan struct{} // closed and replaced when link changes
	lost    error         // why there is no link
	version string        // of the last link
	// features are those of the last link.
	features string
}

// Dial connects to PID 1. It tries once: an error means that neither socket
// works now.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	if o.PrivatePath == "" {
		o.PrivatePath = defaultPrivatePath
	}
	if o.BusPath == "" {
		o.BusPath = defaultBusPath
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	life, cancel := context.WithCancel(context.Background())
	c := &Conn{
		options: o,
		cancel:  cancel,
		closed:  life.Done(),
		stopped: make(chan struct{}),
		events:  newEvents(o.Watch),
		changed: make(chan struct{}),
	}
	l, err := c.connect(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	c.setLink(l, nil)
	go c.keepConnected(life, l)
	return c, nil
}

// Close ends the connection. Calls under way return [ErrClosed].
func (c *Conn) Close() error {
	c.cancel()
	<-c.stopped
	return nil
}

// keepConnected replaces each link that is lost, until Close.
func (c *Conn) keepConnected(life context.Context, l *link) {
	defer close(c.stopped)
	var pause time.Duration
	for l != nil {
		made := time.Now()
		select {
		case <-life.Done():
			l.Close()
			c.setLink(nil, ErrClosed)
			return
		case <-l.Done():
			l.Close()
			c.options.Logger.Warn("lost the connection to PID 1", "reason", l.Err())
			c.setLink(nil, l.Err())
		}
		pause = nextPause(pause, time.Since(made))
		if l = c.reconnect(life, pause); l != nil {
			c.setLink(l, nil)
			c.events.resync()
		}
	}
	c.setLink(nil, ErrClosed)
}

// nextPause is how long to wait before the first attempt to replace a link that
// lived so long: not at all, unless links break as fast as they are made.
func nextPause(previous, lived time.Duration) time.Duration {
	if lived >= lastBackoff {
		return 0
	}
	return min(max(2*previous, firstBackoff), lastBackoff)
}

// reconnect returns nil when life ends.
func (c *Conn) reconnect(life context.Context, pause time.Duration) *link {
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		select {
		case <-life.Done():
			return nil
		case <-time.After(pause):
		}
		l, err := c.connect(life)
		if err == nil {
			return l
		}
		c.options.Logger.Debug("cannot reconnect yet", "error", err)
		pause = backoff
	}
}

func (c *Conn) setLink(l *link, lost error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link, c.lost = l, lost
	if l != nil {
		c.version, c.features = l.version, l.features
		c.options.Logger.Info("connected to PID 1", "bus", l.bus, "version", l.version)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// current returns the link in use; if there is none, why, and what to wait on.
func (c *Conn) current() (l *link, changed <-chan struct{}, lost error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != nil {
		select {
		case <-c.link.Done(): // not noticed yet; it will be
			return nil, c.changed, c.link.Err()
		default:
		}
	}
	return c.link, c.changed, c.lost
}

// waitLink returns a link, waiting for one if there is none.
func (c *Conn) waitLink(ctx context.Context) (*link, error) {
	for {
		l, changed, lost := c.current()
		if l != nil {
			return l, nil
		}
		select {
		case <-c.closed:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (%v): %w", ErrNotConnected, lost, ctx.Err())
		case <-changed:
		}
	}
}

// do performs calls that change something. They are sent once; if they were
// sent and the reply was lost, the error is wire.ErrNoReply.
func (c *Conn) do(ctx context.Context, calls ...wire.Call) ([]wire.Reply, error) {
	for {
		l, err := c.waitLink(ctx)
		if err != nil {
			return nil, err
		}
		replies, err := l.do(ctx, calls...)
		if err == nil || ctx.Err() != nil || !errors.Is(err, wire.ErrNotSent) {
			return replies, err
		}
	}
}

// read performs calls that change nothing and may be repeated at will.
func (c *Conn) read(ctx context.Context, calls ...wire.Call) ([]wire.Reply, error) {
	for {
		replies, err := c.do(ctx, calls...)
		if err == nil || ctx.Err() != nil || !errors.Is(err, wire.ErrNoReply) {
			return replies, err
		}
	}
}

// Features are what systemd was built with, as "systemctl --version" shows them:
// "+SECCOMP -BPF_FRAMEWORK …".
func (c *Conn) Features() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.features
}

// Version is the version of systemd, as PID 1 gave it when the connection was
// last made, for example "252.39-1~deb12u1".
func (c *Conn) Version() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.version
}

// Health is nil if PID 1 is connected and answers now. It does not wait for a
// connection to come back.
func (c *Conn) Health() error {
	l, _, lost := c.current()
	if l == nil {
		return fmt.Errorf("%w: %w", ErrNotConnected, lost)
	}
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	if _, err := l.call(ctx, getProperty(managerPath, managerInterface, "Version")); err != nil {
		return fmt.Errorf("PID 1 does not answer: %w", err)
	}
	return nil
}
