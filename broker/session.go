// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"log/slog"

	"google.golang.org/grpc"

	"nomad-systemd-driver/broker/policy"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// ExecInUnit implements brokerv1.BrokerServiceServer. A session is a unit like
// any other to PID 1 and to policy. It differs in that it lives no longer than
// its call and the unit beside which it runs, and that clients do not see it
// among their units.
func (s *Server) ExecInUnit(req *brokerv1.ExecInUnitRequest, stream grpc.ServerStreamingServer[brokerv1.ExecInUnitResponse]) error {
	if err := known(req); err != nil {
		return err
	}
	if !tokenPattern.MatchString(req.GetFdToken()) {
		return invalid("fd_token", "must be 64 hexadecimal digits")
	}
	ctx := stream.Context()
	parent, err := s.own(ctx, req.GetHandle())
	if err != nil {
		return err
	}
	d, err := s.decide(ctx, req.GetSpec(), func(spec *brokerv1.UnitSpec, labelPrefix string) (*policy.Request, error) {
		return sessionRequest(spec, labelPrefix, parent.rule)
	})
	if err != nil {
		return err
	}
	r := newRecord(d, "")
	r.session = parent.unit
	if err := sameUser(r, parent); err != nil {
		return err
	}
	exit, err := s.session(ctx, r, d, req.GetFdToken(), parent, func() error {
		return stream.Send(&brokerv1.ExecInUnitResponse{})
	})
	if err != nil {
		return err
	}
	return stream.Send(&brokerv1.ExecInUnitResponse{Exit: exit})
}

// sameUser refuses a session that would not have its unit's own user.
func sameUser(r, parent *record) error {
	if r.user == parent.user {
		return nil
	}
	return &policy.Denial{
		Subject: "session user", Value: r.user,
		Reason: "the unit runs as user " + parent.user + " (- is an ephemeral one), and so must its sessions",
	}
}

// session runs r to its end and leaves nothing of it. It calls executed when the
// program has been.
func (s *Server) session(
	ctx context.Context, r *record, d *policy.Decision, token string, parent *record, executed func() error,
) (*brokerv1.Exit, error) {
	if ended(parent.ended) {
		return nil, errNotRunning
	}
	_, first, err := s.units.reserve(r, d.Client().MaxUnits)
	if err != nil {
		return nil, err
	}
	if !first {
		return nil, errOtherContent
	}
	// Neither the start nor the removal stops half-way if the caller goes away.
	whole := context.WithoutCancel(ctx)
	begin, cancel := context.WithTimeout(whole, startTimeout)
	defer cancel()
	if err := s.start(begin, r, d, token, parent); err != nil {
		return nil, err
	}
	defer s.abandon(whole, r)
	if err := executed(); err != nil {
		return nil, err
	}
	select {
	case <-r.ended:
	case <-parent.ended:
		err = errNotRunning
	case <-ctx.Done():
		err = ctx.Err()
	case <-s.closing:
		err = errStopping
	}
	// A program that ended its unit, or ended with it, has an exit all the same; a
	// unit that somebody removed has none.
	if exit := s.units.snapshot(r).GetExit(); exit != nil {
		return exit, nil
	}
	if err == nil {
		err = errNotRunning
	}
	return nil, err
}

// abandon kills what is left of a session and has PID 1 forget it.
func (s *Server) abandon(ctx context.Context, r *record) {
	s.background.Go(func() {
		if err := s.remove(context.WithoutCancel(ctx), r); err != nil {
			s.log.Error("cannot remove a session", slog.String("BROKER_UNIT", r.unit), slog.Any("error", err))
		}
	})
}
