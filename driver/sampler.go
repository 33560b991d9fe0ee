// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
)

const (
	// usualInterval is Nomad's own, for who asks without one.
	usualInterval = time.Second
	// shortestInterval keeps a slip in a configuration from taking a processor.
	shortestInterval = 100 * time.Millisecond
)

// sampler takes the samples of all streams of statistics: one goroutine with one
// timer. Streams tick on a common grid, so that a thousand tasks with the same
// interval wake the process once in it, not a thousand times.
type sampler struct {
	ctx   context.Context
	start sync.Once
	epoch time.Time
	// wake tells the goroutine that there is a new stream.
	wake chan struct{}

	mu      sync.Mutex
	streams map[*stream]struct{} // nil when the driver ends
}

// stream is one subscription to a task's statistics.
type stream struct {
	interval time.Duration
	next     time.Duration // since the sampler's epoch
	// read takes a sample, nil if there is none to be had now; more is false
	// when there will be none any more.
	read func() (u *drivers.TaskResourceUsage, more bool)
	ch   chan *drivers.TaskResourceUsage
	// forget lets go of the contexts that the stream ends with.
	forget [2]func() bool
}

func newSampler(ctx context.Context) *sampler {
	return &sampler{ctx: ctx, epoch: time.Now(), wake: make(chan struct{}, 1), streams: make(map[*stream]struct{})}
}

// open begins a stream with a sample at once. It ends with ctx, with that of its task
// and with the driver. No goroutine of its own waits for that: each would have a stack of
// 2 KiB at least, for as long as the task runs.
func (s *sampler) open(ctx, task context.Context, interval time.Duration, read func() (*drivers.TaskResourceUsage, bool)) <-chan *drivers.TaskResourceUsage {
	if interval <= 0 {
		interval = usualInterval
	}
	st := &stream{
		interval: max(interval, shortestInterval), read: read, next: time.Since(s.epoch),
		ch: make(chan *drivers.TaskResourceUsage, 1),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams == nil {
		close(st.ch)
		return st.ch
	}
	s.streams[st] = struct{}{}
	end := func() { s.close(st) }
	st.forget = [...]func() bool{context.AfterFunc(ctx, end), context.AfterFunc(task, end)}
	s.start.Do(func() { go s.run() })
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return st.ch
}

func (s *sampler) close(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.streams[st]; ok {
		s.closeLocked(st)
	}
}

func (s *sampler) closeLocked(st *stream) {
	delete(s.streams, st)
	close(st.ch)
	for _, f := range st.forget {
		f()
	}
}

// end closes all streams, for good.
func (s *sampler) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.streams {
		s.closeLocked(st)
	}
	s.streams = nil
}

func (s *sampler) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.wake:
		case <-s.ctx.Done():
			s.end()
			return
		}
		due, wait, more := s.due()
		if more {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		for _, st := range due {
			u, more := st.read()
			if u != nil {
				s.deliver(st, u)
			}
			if !more {
				s.close(st)
			}
		}
	}
}

// due lists the streams to be served now, and how long it is to the next one, if
// there are any.
func (s *sampler) due() (list []*stream, wait time.Duration, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Since(s.epoch)
	for st := range s.streams {
		if st.next <= now {
			list = append(list, st)
			st.next = tick(now, st.interval)
		}
		if left := st.next - now; !more || left < wait {
			wait, more = left, true
		}
	}
	return list, wait, more
}

// tick is the next multiple of interval after now, or the one after that where
// it is so near that a percentage of the time between would say little.
func tick(now, interval time.Duration) time.Duration {
	next := (now/interval + 1) * interval
	if next-now < interval/2 {
		next += interval
	}
	return next
}

// deliver never waits: for a slow reader the latest sample replaces the one
// before.
func (s *sampler) deliver(st *stream, u *drivers.TaskResourceUsage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.streams[st]; !ok {
		return
	}
	select {
	case <-st.ch:
	default:
	}
	st.ch <- u // there is room: nobody else sends
}
