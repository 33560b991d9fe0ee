// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"maps"
	"path"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// buckets are the upper bounds of startTimes, in seconds.
var buckets = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// counters count calls since the broker started, for monitoring. Nothing is
// decided by them.
type counters struct {
	mu     sync.Mutex
	calls  map[call]uint64
	starts histogram // of calls of StartUnit that started a unit
}

// call is a kind of call: its method and how it ended.
type call struct {
	method string
	code   codes.Code
}

// histogram counts durations up to each of buckets; the last is beyond all.
type histogram struct {
	counts [12]uint64
	sum    float64 // seconds
}

func newCounters() *counters { return &counters{calls: make(map[call]uint64)} }

// count counts one call.
func (c *counters) count(method string, err error, took time.Duration) {
	k := call{path.Base(method), status.Code(err)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[k]++
	if k.method == "StartUnit" && err == nil {
		c.starts.add(took.Seconds())
	}
}

func (h *histogram) add(seconds float64) {
	i, _ := slices.BinarySearch(buckets, seconds)
	h.counts[i]++
	h.sum += seconds
}

// copy is a snapshot.
func (c *counters) copy() (map[call]uint64, histogram) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.calls), c.starts
}

// countUnary and countStream are the outermost interceptors: they see what the
// client gets.
func (c *counters) countUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	from := time.Now()
	resp, err := handler(ctx, req)
	c.count(info.FullMethod, err, time.Since(from))
	return resp, err
}

func (c *counters) countStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	from := time.Now()
	err := handler(srv, ss)
	c.count(info.FullMethod, err, time.Since(from))
	return err
}
