// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"sync"
	"time"
)

// rate is a token bucket's: so many at once, and so many a second in the long run.
type rate struct {
	burst     float64
	perSecond float64
}

var (
	// refusalRate bounds the records of what is refused, which costs a client
	// nothing to cause.
	refusalRate = rate{50, 5}
	// lifeRate bounds all other records of a client. It is above what a host can
	// start: a drain or a reboot moves a thousand tasks at once.
	lifeRate = rate{2000, 200}
)

// maxBuckets bounds the memory of a limiter.
const maxBuckets = 1024

// limiter bounds how often each key may do something.
type limiter struct {
	rate rate
	now  func() time.Time

	mu    sync.Mutex // guards what follows
	byKey map[string]*bucket
}

type bucket struct {
	tokens     float64
	at         time.Time
	suppressed int
}

func newLimiter(r rate) *limiter {
	return &limiter{rate: r, now: time.Now, byKey: make(map[string]*bucket)}
}

// take reports whether key may once more. What it may not is counted; suppressed
// is that count since the last time it could.
func (l *limiter) take(key string) (ok bool, suppressed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b, found := l.byKey[key]
	if !found {
		l.makeRoomLocked(now)
		b = &bucket{tokens: l.rate.burst, at: now}
		l.byKey[key] = b
	}
	l.fillLocked(b, now)
	if b.tokens < 1 {
		b.suppressed++
		return false, 0
	}
	b.tokens--
	suppressed, b.suppressed = b.suppressed, 0
	return true, suppressed
}

func (l *limiter) fillLocked(b *bucket, now time.Time) {
	b.tokens = min(l.rate.burst, b.tokens+now.Sub(b.at).Seconds()*l.rate.perSecond)
	b.at = now
}

// makeRoomLocked forgets the keys that have all their tokens, as one that is new.
func (l *limiter) makeRoomLocked(now time.Time) {
	if len(l.byKey) < maxBuckets {
		return
	}
	for key, b := range l.byKey {
		l.fillLocked(b, now)
		if b.tokens == l.rate.burst && b.suppressed == 0 {
			delete(l.byKey, key)
		}
	}
}

// drain takes the counts of all that was suppressed and not yet told.
func (l *limiter) drain() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string]int)
	for key, b := range l.byKey {
		if b.suppressed > 0 {
			all[key] = b.suppressed
			b.suppressed = 0
		}
	}
	return all
}
