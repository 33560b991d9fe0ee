// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

func TestTurns(t *testing.T) {
	closing := make(chan struct{})
	turns := newTurns(closing)
	turns.most = 1
	end, err := turns.begin(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	impatient, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := turns.begin(impatient, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second start of the client got %v", err)
	}
	if _, err := turns.begin(t.Context(), "b"); err != nil {
		t.Errorf("another client got %v", err)
	}
	end()
	if end, err = turns.begin(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	turns.limit = 10 * time.Millisecond
	late, err := turns.begin(t.Context(), "a")
	if err != nil {
		t.Fatalf("after the limit: %v", err)
	}
	late() // ends nothing
	turns.limit = time.Minute
	end()
	if _, err = turns.begin(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	close(closing)
	if _, err := turns.begin(t.Context(), "a"); !errors.Is(err, errStopping) {
		t.Errorf("of a broker that stops: %v", err)
	}
}

// TestStartsTakeTurns, which sessions do not.
func TestStartsTakeTurns(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	for range w.server.turns.most {
		if _, err := w.server.turns.begin(t.Context(), "nomad"); err != nil {
			t.Fatal(err)
		}
	}
	before := len(w.pid1.Calls("StartTransientUnit"))
	w.server.startTimeout = 100 * time.Millisecond
	wantCode(t, w.tryStart("a/2"), codes.DeadlineExceeded, "turn")
	if n := len(w.pid1.Calls("StartTransientUnit")) - before; n != 0 {
		t.Errorf("PID 1 was asked for %d units", n)
	}
	w.server.startTimeout = startTimeout
	w.begin(w.ctx(), w.session(u))
	<-w.server.turns.of["nomad"]
	if err := w.tryStart("a/2"); err != nil {
		t.Error(err)
	}
}
