// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/crashpoint"
	"nomad-systemd-driver/broker/systemd"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

const (
	// killTimeout bounds the wait for PID 1 to see the end of processes that
	// were sent SIGKILL.
	killTimeout = 30 * time.Second
	// resendPause is how long a SIGKILL that may have been lost has to show.
	resendPause = 200 * time.Millisecond
	maxSignal   = 64
	// maxGrace keeps a stop from outliving what anybody waits for.
	maxGrace = 7 * 24 * time.Hour
)

// stopping is a stop that is under way; done is closed at its end, and err is
// set before.
type stopping struct {
	done chan struct{}
	err  error
}

// StopUnit implements brokerv1.BrokerServiceServer.
func (s *Server) StopUnit(ctx context.Context, req *brokerv1.StopUnitRequest) (*brokerv1.StopUnitResponse, error) {
	sig, grace, err := stopArgs(req)
	if err != nil {
		return nil, err
	}
	r, err := s.own(ctx, req.GetHandle())
	if errors.Is(err, errNotFound) {
		return &brokerv1.StopUnitResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	crashpoint.Here("stop/found")
	job := s.beginStop(ctx, r, sig, grace)
	crashpoint.Here("stop/begun")
	select {
	case <-job.done:
		if job.err != nil {
			return nil, job.err
		}
		return &brokerv1.StopUnitResponse{Unit: s.units.snapshot(r)}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func stopArgs(req *brokerv1.StopUnitRequest) (unix.Signal, time.Duration, error) {
	if err := known(req); err != nil {
		return 0, 0, err
	}
	if req.GetSignal() > maxSignal {
		return 0, 0, invalid("signal", "%d is not 1 to %d, or 0 for SIGTERM", req.GetSignal(), maxSignal)
	}
	sig := unix.SIGTERM
	if n := req.GetSignal(); n != 0 {
		sig = unix.Signal(n)
	}
	grace := req.GetGracePeriod().AsDuration()
	if g := req.GetGracePeriod(); g != nil && (g.CheckValid() != nil || grace < 0 || grace > maxGrace) {
		return 0, 0, invalid("grace_period", "is not between 0 and %s", maxGrace)
	}
	return sig, grace, nil
}

// beginStop stops r in the background, so that the stop ends well whatever
// becomes of the caller, or joins the stop that is under way.
func (s *Server) beginStop(ctx context.Context, r *record, sig unix.Signal, grace time.Duration) *stopping {
	s.units.mu.Lock()
	defer s.units.mu.Unlock()
	if job := r.stopping; job != nil && !ended(job.done) {
		return job
	}
	job := &stopping{done: make(chan struct{})}
	r.stopping = job
	s.background.Go(func() {
		defer close(job.done)
		job.err = s.stop(context.WithoutCancel(ctx), r, sig, grace)
		crashpoint.Here("stop/stopped")
		s.audit.stopped(ctx, r, job.err)
	})
	return job
}

func ended(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// stop sends sig to the main process and SIGKILL to all after grace. It never
// asks PID 1 to stop the unit: a unit that is stopped while it runs vanishes,
// and its exit status with it.
func (s *Server) stop(ctx context.Context, r *record, sig unix.Signal, grace time.Duration) error {
	if ended(r.ended) {
		return nil
	}
	if grace > 0 {
		if ended(s.closing) {
			return errStopping // the next broker is asked, and sends the signal once
		}
		if err := s.signal(ctx, r, systemd.Main, sig); err != nil {
			return err
		}
		crashpoint.Here("stop/signalled")
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-r.ended:
			return nil
		case <-timer.C:
		case <-s.closing:
			// The next broker finds the unit running, and Nomad asks it again.
			return errStopping
		}
	}
	return s.kill(ctx, r)
}

// kill ends every process of r and waits until PID 1 has seen it. To send
// SIGKILL twice does no harm, so one that may have been lost is sent again.
func (s *Server) kill(ctx context.Context, r *record) error {
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	for {
		err := s.signal(ctx, r, systemd.All, unix.SIGKILL)
		crashpoint.Here("stop/killed")
		var again <-chan time.Time
		switch {
		case errors.Is(err, systemd.ErrOutcomeUnknown):
			again = time.After(resendPause)
		case err != nil:
			return err
		}
		select {
		case <-r.ended:
			return nil
		case <-again:
		case <-ctx.Done():
			return fmt.Errorf("%s was sent SIGKILL and still runs after %s: a process may hang in the kernel (see systemctl status %s)", r.unit, killTimeout, r.unit)
		}
	}
}

// signal sends sig; that there is nobody left to receive it is success.
func (s *Server) signal(ctx context.Context, r *record, who systemd.Who, sig unix.Signal) error {
	if s.units.isReplaced(r) {
		return nil
	}
	err := s.systemd.Kill(ctx, r.unit, who, sig)
	if errors.Is(err, systemd.ErrNotFound) || errors.Is(err, systemd.ErrNoProcess) {
		return nil
	}
	return err
}

// SignalUnit implements brokerv1.BrokerServiceServer.
func (s *Server) SignalUnit(ctx context.Context, req *brokerv1.SignalUnitRequest) (*brokerv1.SignalUnitResponse, error) {
	if err := known(req); err != nil {
		return nil, err
	}
	if n := req.GetSignal(); n < 1 || n > maxSignal {
		return nil, invalid("signal", "%d is not 1 to %d", n, maxSignal)
	}
	r, err := s.own(ctx, req.GetHandle())
	if err != nil {
		return nil, err
	}
	if s.units.isReplaced(r) {
		return nil, errNotFound
	}
	who := systemd.Main
	if req.GetTarget() == brokerv1.SignalUnitRequest_TARGET_ALL {
		who = systemd.All
	}
	err = s.systemd.Kill(ctx, r.unit, who, unix.Signal(req.GetSignal()))
	if errors.Is(err, systemd.ErrNoProcess) {
		return nil, errNotFound
	}
	return &brokerv1.SignalUnitResponse{}, err
}

// RemoveUnit implements brokerv1.BrokerServiceServer.
func (s *Server) RemoveUnit(ctx context.Context, req *brokerv1.RemoveUnitRequest) (*brokerv1.RemoveUnitResponse, error) {
	if err := known(req); err != nil {
		return nil, err
	}
	if err := checkOpen(req.GetOpen()); err != nil {
		return nil, err
	}
	client, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	r, err := s.units.find(client.Name, req.GetHandle())
	if errors.Is(err, errNotFound) {
		if req.GetOpen() != nil {
			s.openGone(ctx, client, req)
		}
		return &brokerv1.RemoveUnitResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if req.GetOpen() != nil {
		s.open(ctx, r, req)
	}
	crashpoint.Here("remove/found")
	err = s.remove(context.WithoutCancel(ctx), r)
	crashpoint.Here("remove/removed")
	s.audit.removed(ctx, r, err)
	return &brokerv1.RemoveUnitResponse{}, err
}

// remove kills what is left of r, has PID 1 forget the unit and forgets it too.
func (s *Server) remove(ctx context.Context, r *record) error {
	ctx, cancel := context.WithTimeout(ctx, 2*killTimeout)
	defer cancel()
	if !ended(r.ended) {
		if err := s.kill(ctx, r); err != nil {
			return err
		}
	}
	return s.drop(ctx, r)
}

// drop stops r, has PID 1 forget it and forgets it too.
func (s *Server) drop(ctx context.Context, r *record) error {
	s.endScope(ctx, r)
	for _, step := range []func(context.Context, string) error{s.systemd.Stop, s.systemd.ResetFailed} {
		if s.units.isReplaced(r) {
			break
		}
		if err := step(ctx, r.unit); err != nil && !errors.Is(err, systemd.ErrNotFound) {
			return fmt.Errorf("cannot remove %s: %w", r.unit, err)
		}
		crashpoint.Here("remove/step")
	}
	s.forgetRequest(r.unit) // before another start can have the id
	crashpoint.Here("remove/request")
	s.removeRoot(r.unit)
	crashpoint.Here("remove/root")
	if s.units.remove(r) {
		s.unstage(ctx, r.unit)
	}
	return nil
}
