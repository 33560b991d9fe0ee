// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"strconv"
	"testing"
	"time"
)

func TestLimiterFillsUpAndCounts(t *testing.T) {
	now := time.Unix(0, 0)
	l := newLimiter(rate{2, 1})
	l.now = func() time.Time { return now }
	steps := []struct {
		after      time.Duration
		key        string
		ok         bool
		suppressed int
	}{
		{0, "a", true, 0},
		{0, "a", true, 0},
		{0, "a", false, 0},
		{0, "a", false, 0},
		{0, "b", true, 0}, // has tokens of its own
		{time.Second, "a", true, 2},
		{0, "a", false, 0},
		{time.Hour, "a", true, 1},
		{0, "a", true, 0},
		{0, "a", false, 0}, // never above the burst
	}
	for i, s := range steps {
		now = now.Add(s.after)
		if ok, n := l.take(s.key); ok != s.ok || n != s.suppressed {
			t.Errorf("step %d: got %v, %d", i, ok, n)
		}
	}
	if told := l.drain(); len(told) != 1 || told["a"] != 1 {
		t.Errorf("left is %v", told)
	}
	if told := l.drain(); len(told) != 0 {
		t.Errorf("told twice: %v", told)
	}
}

func TestLimiterForgetsKeysThatAreFull(t *testing.T) {
	now := time.Unix(0, 0)
	l := newLimiter(rate{2, 1})
	l.now = func() time.Time { return now }
	for i := range 10 * maxBuckets {
		now = now.Add(10 * time.Millisecond)
		l.take(strconv.Itoa(i))
	}
	if n := len(l.byKey); n > maxBuckets {
		t.Errorf("it holds %d keys", n)
	}
}
