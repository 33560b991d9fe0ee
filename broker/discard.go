// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/broker/unit"
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

// brokerMade matches the names of the units of all clients there ever were: they
// end in 64 bits of a hash, see unit.Name.
var brokerMade = "*-" + strings.Repeat("[0-9a-f]", 16) + ".service"

// abandonStraySessions removes those of the units, all that brokers made, that are
// sessions of an earlier broker and belong to no client any more: one that the policy
// dropped or renamed. Few units of a host but the broker's have such names, and the
// clients' are known already, so that next to none has to be read.
func (s *Server) abandonStraySessions(ctx context.Context, units []string) {
	ctx, cancel := context.WithTimeout(ctx, adoptTimeout)
	defer cancel()
	for _, name := range units {
		if s.units.known(name) {
			continue
		}
		st, err := s.systemd.Status(ctx, name)
		if err != nil {
			continue // gone meanwhile, or not a unit that can be read
		}
		f := st.LogExtraFields
		// Only root can make a unit with these fields.
		stray := f[fieldSession] != "" && f[fieldClient] != "" && strings.HasSuffix(name, unit.Name("", nil, f[fieldID]))
		if stray {
			s.abandon(ctx, (&record{client: f[fieldClient], id: f[fieldID], unit: name, session: f[fieldSession]}).begun())
		}
	}
}
