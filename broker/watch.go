// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// watcher is one WatchUnits stream: the set of units whose present state the
// client has not been sent yet. However much happens while a client is slow,
// the set holds each unit once.
type watcher struct {
	client string
	dirty  map[*record]struct{}
	wake   chan struct{}
}

// sees tells whether r is one of the client's units. Sessions are not.
func (w *watcher) sees(r *record) bool { return r.client == w.client && r.session == "" }

func (w *watcher) mark(r *record) {
	w.dirty[r] = struct{}{}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// watch begins a stream: all units of the client are due at once.
func (g *registry) watch(client string) *watcher {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := &watcher{client: client, dirty: make(map[*record]struct{}), wake: make(chan struct{}, 1)}
	for _, r := range g.byUnit {
		if w.sees(r) && r.live {
			w.mark(r)
		}
	}
	g.watchers[w] = struct{}{}
	return w
}

func (g *registry) unwatch(w *watcher) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.watchers, w)
}

// due takes the units that w has to be sent.
func (g *registry) due(w *watcher) []*brokerv1.Unit {
	g.mu.Lock()
	defer g.mu.Unlock()
	units := make([]*brokerv1.Unit, 0, len(w.dirty))
	for r := range w.dirty {
		units = append(units, r.messageLocked())
	}
	clear(w.dirty)
	return units
}

// WatchUnits implements brokerv1.BrokerServiceServer.
func (s *Server) WatchUnits(_ *brokerv1.WatchUnitsRequest, stream grpc.ServerStreamingServer[brokerv1.WatchUnitsResponse]) error {
	client, err := s.caller(stream.Context())
	if err != nil {
		return err
	}
	w := s.units.watch(client.Name)
	defer s.units.unwatch(w)
	for synced := false; ; {
		for _, u := range s.units.due(w) {
			if err := stream.Send(&brokerv1.WatchUnitsResponse{Unit: u}); err != nil {
				return err
			}
		}
		if !synced {
			if err := stream.Send(&brokerv1.WatchUnitsResponse{Synced: true}); err != nil {
				return err
			}
			synced = true
		}
		select {
		case <-w.wake:
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-s.closing:
			return errStopping
		}
	}
}

// follow keeps the registry true to PID 1 until ctx ends.
func (s *Server) follow(ctx context.Context) error {
	for {
		changes, err := s.systemd.Next(ctx)
		if err != nil {
			return err
		}
		names := changes.Units
		if changes.Resync {
			if _, err := s.adopt(ctx); err != nil && !ended(s.closing) {
				s.log.Error("cannot read the units back from systemd", slog.Any("error", err))
			}
			names = s.units.names()
		}
		for _, name := range names {
			if s.units.known(name) {
				s.refresh(ctx, name)
			}
		}
	}
}

// refresh reads one unit from PID 1. When it has just ended, what its main
// process left running is killed: a task ends with its main process.
func (s *Server) refresh(ctx context.Context, name string) {
	st, err := s.systemd.Status(ctx, name)
	switch {
	case errors.Is(err, systemd.ErrNotFound):
		s.units.update(name, nil)
		return
	case err != nil && ctx.Err() != nil:
		return
	case err != nil:
		s.log.Error("cannot read a unit", slog.String("unit", name), slog.Any("error", err))
		return
	}
	if s.units.update(name, &st) {
		s.reap(ctx, name, &st)
	}
}

// reap kills what is left in the control group of a unit that has ended. A
// failed unit has been emptied by systemd; only one that remains after a
// successful exit can hold processes.
func (s *Server) reap(ctx context.Context, name string, st *systemd.Status) {
	if r, ok := s.units.get(name); ok {
		s.audit.ended(ctx, r, st)
		if r.manager != 0 { // it waits for PID 1, as who follows it must not
			go s.unlessClosing(func() { s.endScope(context.WithoutCancel(ctx), r) })
		}
	}
	if st.ActiveState != systemd.Active {
		return
	}
	err := s.systemd.Kill(ctx, name, systemd.All, unix.SIGKILL)
	if err != nil && !errors.Is(err, systemd.ErrNoProcess) && !errors.Is(err, systemd.ErrNotFound) {
		s.log.Error("cannot kill what a unit left", slog.String("unit", name), slog.Any("error", err))
	}
}

// adoptTimeout bounds reading all units back from PID 1.
const adoptTimeout = 60 * time.Second

// adopt adds the units of the policy's clients that PID 1 has and the registry
// does not: those an earlier broker started. It returns their names. A server
// that ends leaves them to the next.
func (s *Server) adopt(ctx context.Context) (adopted []string, err error) {
	if !s.unlessClosing(func() { adopted, err = s.adoptAll(ctx) }) {
		return nil, errStopping
	}
	return adopted, err
}

func (s *Server) adoptAll(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, adoptTimeout)
	defer cancel()
	defer s.onClosing(cancel)()
	var adopted []string
	for _, c := range s.clients.Load().byUID {
		names, err := s.systemd.List(ctx, c.UnitPrefix+"-*.service")
		if err != nil {
			return adopted, err
		}
		names = slices.DeleteFunc(names, s.units.known)
		errs := s.adoptUnits(ctx, c, names)
		for i, name := range names {
			if errs[i] != nil && ctx.Err() != nil {
				return adopted, errs[i] // the rest is as unknown as this one
			}
			if errs[i] != nil {
				s.log.Error("cannot read a unit", slog.String("unit", name), slog.Any("error", errs[i]))
				continue
			}
			adopted = append(adopted, name)
		}
	}
	return adopted, nil
}

// adopting is how many units are read at once: PID 1 answers one question after the
// other, and need not wait for the next.
const adopting = 8

// adoptUnits takes units over and returns what came of each.
func (s *Server) adoptUnits(ctx context.Context, c *policy.Client, names []string) []error {
	errs := make([]error, len(names))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(adopting, len(names)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(names); i = int(next.Add(1)) - 1 {
				errs[i] = s.adoptUnit(ctx, c, names[i])
			}
		})
	}
	workers.Wait()
	return errs
}

// adoptUnit takes one unit over if the broker started it, which its fields
// tell: only root can make a unit that has them.
func (s *Server) adoptUnit(ctx context.Context, c *policy.Client, name string) error {
	st, err := s.systemd.StatusListed(ctx, name)
	if errors.Is(err, systemd.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	r, ok := recordOf(c, name, st.LogExtraFields)
	if !ok || !s.units.adopt(r) {
		return nil
	}
	if s.units.finish(r, &st, nil) {
		s.reap(ctx, name, &st)
	}
	if r.session != "" {
		s.abandon(ctx, r)
	}
	return nil
}

// adopt inserts a unit that an earlier broker started, unless it is there.
func (g *registry) adopt(r *record) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.byUnit[r.unit]; ok {
		return false
	}
	g.insertLocked(r)
	return true
}
