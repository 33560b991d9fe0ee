// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
)

// never is the end of a task that does not end.
var never = context.Background()

// TestOneGoroutineServesAllStreams relies on the race detector, too: the streams
// share a map without a lock.
func TestOneGoroutineServesAllStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSampler(t.Context())
		begin := time.Now()
		wakes := make(map[time.Duration]int)
		reads := make([]int, 3)
		for i, interval := range []time.Duration{time.Second, 2 * time.Second, 500 * time.Millisecond} {
			s.open(t.Context(), never, interval, func() (*drivers.TaskResourceUsage, bool) {
				wakes[time.Since(begin)]++
				reads[i]++
				return nil, true
			})
		}
		time.Sleep(10*time.Second + time.Millisecond) //nolint:forbidigo // the clock of a bubble
		synctest.Wait()
		for i, want := range []int{11, 6, 21} {
			if reads[i] != want {
				t.Errorf("stream %d had %d samples in ten seconds, want %d", i, reads[i], want)
			}
		}
		if len(wakes) != 21 {
			t.Errorf("the process woke %d times, want 21: each half second, for all that are due", len(wakes))
		}
	})
}

// TestStreamsComeTogether is about tasks that start at odd times.
func TestStreamsComeTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSampler(t.Context())
		begin := time.Now()
		var at [2][]time.Duration
		for i := range at {
			time.Sleep(time.Duration(i) * 700 * time.Millisecond) //nolint:forbidigo // the clock of a bubble
			s.open(t.Context(), never, time.Second, func() (*drivers.TaskResourceUsage, bool) {
				at[i] = append(at[i], time.Since(begin))
				return nil, true
			})
		}
		time.Sleep(3 * time.Second) //nolint:forbidigo // the clock of a bubble
		synctest.Wait()
		second := at[1]
		if len(second) != 3 || second[0] != 700*time.Millisecond || second[1] != 2*time.Second || second[2] != 3*time.Second {
			t.Errorf("the second stream was served at %v, want at once, and from then on with the first one", second)
		}
		if n := len(at[0]); n != 4 {
			t.Errorf("the first stream had %d samples, want 4", n)
		}
	})
}

func TestTick(t *testing.T) {
	tests := []struct {
		name                string
		now, interval, want time.Duration
	}{
		{"the start", 0, 10, 10},
		{"on the grid", 20, 10, 30},
		{"a bit late", 23, 10, 30},
		{"so late that the next is near", 26, 10, 40},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tick(tt.now, tt.interval); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestIntervalsThatCannotBe(t *testing.T) {
	for interval, want := range map[time.Duration]int{0: 10, -time.Second: 10, time.Nanosecond: 100} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			newSampler(t.Context()).open(t.Context(), never, interval, func() (*drivers.TaskResourceUsage, bool) {
				n++
				return nil, true
			})
			time.Sleep(10*time.Second - time.Millisecond) //nolint:forbidigo // the clock of a bubble
			synctest.Wait()
			if n != want {
				t.Errorf("interval %s: %d samples in ten seconds, want %d", interval, n, want)
			}
		})
	}
}

func TestSlowReaderGetsTheLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSampler(t.Context())
		read := func() (*drivers.TaskResourceUsage, bool) {
			return &drivers.TaskResourceUsage{Timestamp: time.Now().UnixNano()}, true
		}
		slow := s.open(t.Context(), never, time.Second, read)
		quick := s.open(t.Context(), never, time.Second, read)
		for range 6 {
			<-quick
		}
		synctest.Wait()
		if got := (<-slow).Timestamp; got != time.Now().UnixNano() {
			t.Errorf("the slow reader got the sample of %s, want that of now", time.Unix(0, got))
		}
	})
}

func TestStreamEnds(t *testing.T) {
	tests := []struct {
		name string
		end  func(stop, cancel, shutdown func())
	}{
		{"with its task", func(stop, _, _ func()) { stop() }},
		{"with its context", func(_, cancel, _ func()) { cancel() }},
		{"with the driver", func(_, _, shutdown func()) { shutdown() }},
		{"once, with all of them", func(stop, cancel, shutdown func()) { stop(); cancel(); shutdown() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				driver, shutdown := context.WithCancel(t.Context())
				ctx, cancel := context.WithCancel(t.Context())
				task, stop := context.WithCancel(t.Context())
				s := newSampler(driver)
				ch := s.open(ctx, task, time.Second, func() (*drivers.TaskResourceUsage, bool) {
					return new(drivers.TaskResourceUsage), true
				})
				<-ch
				st := slices.Collect(maps.Keys(s.streams))[0]
				tt.end(stop, cancel, shutdown)
				if u, ok := <-ch; ok {
					t.Errorf("got %+v, want a closed channel", u)
				}
				synctest.Wait()
				if len(s.streams) != 0 {
					t.Errorf("%d streams are left", len(s.streams))
				}
				for _, f := range st.forget {
					if f() {
						t.Error("a context that goes on keeps the stream")
					}
				}
				cancel()
				stop()
				shutdown()
			})
		})
	}
}

// TestStreamsTakeNoGoroutines of their own, whose stacks would be there for each task.
func TestStreamsTakeNoGoroutines(t *testing.T) {
	driver, shutdown := context.WithCancel(t.Context())
	defer shutdown()
	s := newSampler(driver)
	before := runtime.NumGoroutine()
	for range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s.open(ctx, never, time.Hour, func() (*drivers.TaskResourceUsage, bool) { return nil, true })
	}
	if n := runtime.NumGoroutine() - before; n > 50 {
		t.Errorf("100 streams have %d goroutines", n)
	}
}
