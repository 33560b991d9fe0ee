// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"nomad-systemd-driver/broker/systemd/wire"
)

// connectTimeout bounds one attempt on one socket. PID 1 does not answer while
// it reloads, which takes seconds on a host with many units.
const connectTimeout = 10 * time.Second

var errOwnerChanged = errors.New("PID 1 left the bus or came back")

// link is one connection to PID 1, from its set-up to its loss.
type link struct {
	*wire.Conn
	version, features string

	// Of a link over the bus only.
	bus   bool
	owner atomic.Pointer[string] // unique name of PID 1; nil until known
}

// connect tries the private socket, then the bus.
func (c *Conn) connect(ctx context.Context) (*link, error) {
	private, err := c.attempt(ctx, c.options.PrivatePath, false)
	if err == nil {
		return private, nil
	}
	bus, busErr := c.attempt(ctx, c.options.BusPath, true)
	if busErr == nil {
		return bus, nil
	}
	return nil, fmt.Errorf("cannot connect to PID 1: %s: %w; %s: %w",
		c.options.PrivatePath, err, c.options.BusPath, busErr)
}

func (c *Conn) attempt(ctx context.Context, path string, bus bool) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	l := &link{bus: bus}
	ready := make(chan struct{}) // l.Conn is set
	conn, err := wire.Dial(ctx, path, func(s wire.Signal) {
		<-ready
		c.receive(l, s)
	})
	if err != nil {
		return nil, err
	}
	l.Conn = conn
	close(ready)
	if err := l.setUp(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// setUp makes the signals flow and proves that PID 1 answers.
func (l *link) setUp(ctx context.Context) error {
	if l.bus {
		if err := l.joinBus(ctx); err != nil {
			return err
		}
	}
	replies, err := l.call(ctx,
		getProperty(managerPath, managerInterface, "Version"), getProperty(managerPath, managerInterface, "Features"))
	if err != nil {
		return err
	}
	if l.version, err = variantOf[string](replies[0], "Version"); err != nil {
		return err
	}
	l.features, err = variantOf[string](replies[1], "Features")
	return err
}

// matchRules select the signals a bus delivers; the private socket delivers all
// there are.
func matchRules() []string {
	manager := "type='signal',sender='" + destination + "',path='" + string(managerPath) +
		"',interface='" + managerInterface + "',member="
	return []string{
		manager + "'JobRemoved'",
		manager + "'UnitRemoved'",
		manager + "'Reloading'",
		"type='signal',sender='" + destination + "',path_namespace='" + unitNamespace +
			"',interface='" + propertiesInterface + "',member='PropertiesChanged'",
	}
}

func (l *link) joinBus(ctx context.Context) error {
	onBus := func(member string, args ...any) wire.Call {
		return wire.Call{Destination: busDestination, Path: busPath, Interface: busInterface, Member: member, Args: args}
	}
	calls := []wire.Call{
		onBus("Hello"),
		onBus("AddMatch", "type='signal',sender='"+busDestination+"',interface='"+busInterface+
			"',member='NameOwnerChanged',arg0='"+destination+"'"),
		onBus("GetNameOwner", destination),
	}
	for _, rule := range matchRules() {
		calls = append(calls, onBus("AddMatch", rule))
	}
	replies, err := l.call(ctx, append(calls, onManager("Subscribe"))...)
	if err != nil {
		return err
	}
	owner, err := bodyOf[string](replies[2], "GetNameOwner")
	if err != nil {
		return err
	}
	l.owner.Store(&owner)
	return nil
}

// call is Do with the first error reply as an error.
func (l *link) call(ctx context.Context, calls ...wire.Call) ([]wire.Reply, error) {
	replies, err := l.do(ctx, calls...)
	if err != nil {
		return nil, err
	}
	for i, r := range replies {
		if r.Err != nil {
			return nil, fmt.Errorf("%s: %w", calls[i].Member, errorOf(r.Err)) //nolint:gosec // G602: there is one reply to each call
		}
	}
	return replies, nil
}

// do is Do, except that what a bus daemon answers in PID 1's place counts as
// the end of the connection, which it is.
func (l *link) do(ctx context.Context, calls ...wire.Call) ([]wire.Reply, error) {
	replies, err := l.Do(ctx, calls...)
	if err != nil || !l.bus {
		return replies, err
	}
	for _, r := range replies {
		if r.Err == nil {
			continue
		}
		switch r.Err.Name {
		case errorNoReply:
			l.Fail(errOwnerChanged)
			return nil, fmt.Errorf("%w: %w", wire.ErrNoReply, r.Err)
		case errorServiceUnknown, errorNameHasNoOwner:
			l.Fail(errOwnerChanged)
			return nil, fmt.Errorf("%w: %w", wire.ErrNotSent, r.Err)
		}
	}
	return replies, nil
}

// fromPID1 tells whether a signal can be believed. Anybody may send signals
// over a bus; the daemon vouches for the sender's name.
func (l *link) fromPID1(s wire.Signal) bool {
	if !l.bus {
		return true
	}
	owner := l.owner.Load()
	return owner != nil && s.Sender == *owner
}

// ownerSignal handles what the bus daemon itself says. A connection does not
// outlive PID 1's own: the subscription would be gone.
func (l *link) ownerSignal(s wire.Signal) {
	if l.bus && s.Sender == busDestination && s.Interface == busInterface && s.Member == "NameOwnerChanged" {
		l.Fail(errOwnerChanged)
	}
}
