// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// turnTimeout bounds the wait for a turn. With the TimeoutStartUSec of a unit it is below
// startTimeout.
const turnTimeout = 20 * time.Second

// turns let a client start so many units at a time. More at once are not started any
// sooner, as PID 1 is one thread and the rest is the kernel's work: each would take as long
// as all together, and all come near to their TimeoutStartUSec. The clients do not wait for
// each other.
type turns struct {
	most int
	// limit is the constant, but for tests.
	limit   time.Duration
	closing <-chan struct{}

	mu sync.Mutex
	of map[string]chan struct{} // by client; a token for each start
}

func newTurns(closing <-chan struct{}) *turns {
	return &turns{most: max(4, 2*runtime.NumCPU()), limit: turnTimeout, closing: closing, of: make(map[string]chan struct{})}
}

// begin waits for a turn, which end ends. Starts that hang must not keep others from
// theirs: after a while it goes on without one. Nobody waits in a broker that stops.
func (t *turns) begin(ctx context.Context, client string) (end func(), err error) {
	limit := time.NewTimer(t.limit)
	defer limit.Stop()
	c := t.tokens(client)
	select {
	case c <- struct{}{}:
		return func() { <-c }, nil
	case <-limit.C:
		return func() {}, nil
	case <-t.closing:
		return nil, errStopping
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (t *turns) tokens(client string) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.of[client]
	if !ok {
		c = make(chan struct{}, t.most)
		t.of[client] = c
	}
	return c
}
