// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/systemd"
)

const (
	// discardTimeout bounds one attempt to remove a unit. PID 1 gives up on a
	// process that hangs in the kernel after four times the unit's
	// TimeoutStopUSec.
	discardTimeout = 60 * time.Second
	// The pause between two attempts grows from the first to the last.
	firstPause = 100 * time.Millisecond
	lastPause  = 30 * time.Second
)

// abandon removes r, which no client can ask to remove, in the background: it
// tries until that is done or the server stops. The next broker finds what is
// left then and abandons it again.
func (s *Server) abandon(ctx context.Context, r *record) {
	s.background.Go(func() {
		ctx := context.WithoutCancel(ctx)
		for pause := firstPause; ; pause = min(2*pause, lastPause) {
			err := s.discard(ctx, r)
			if err == nil {
				return
			}
			s.log.LogAttrs(ctx, slog.LevelError, "cannot remove what a session or a start left; trying again",
				slog.String("BROKER_UNIT", r.unit), slog.Duration("pause", pause), slog.Any("error", err))
			select {
			case <-time.After(pause):
			case <-s.closing:
				return
			}
		}
	})
}

// discard is remove for a unit whose end nobody waits for. That it cannot be
// killed does not keep it from being stopped: PID 1 then sends SIGKILL itself
// to what outlives its SIGTERM.
func (s *Server) discard(ctx context.Context, r *record) error {
	ctx, cancel := context.WithTimeout(ctx, discardTimeout)
	defer cancel()
	if err := s.signal(ctx, r, systemd.All, unix.SIGKILL); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "cannot kill a unit; stopping it",
			slog.String("BROKER_UNIT", r.unit), slog.Any("error", err))
	}
	return s.drop(ctx, r)
}
