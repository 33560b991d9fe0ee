// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"google.golang.org/grpc"

	"nomad-systemd-driver/broker/policy"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// ExecInUnit implements brokerv1.BrokerServiceServer. A session is a unit like
// any other to PID 1 and to policy. It differs in that it lives no longer than
// its call and the unit beside which it runs, and that clients do not see it
// among their units.
func (s *Server) ExecInUnit(req *brokerv1.ExecInUnitRequest, stream grpc.ServerStreamingServer[brokerv1.ExecInUnitResponse]) error {
	ctx := stream.Context()
	key := keyOf(ctx, req.GetFdToken())
	defer func() { s.fds.take(key).close() }()
	if err := known(req); err != nil {
		return err
	}
	if !tokenPattern.MatchString(req.GetFdToken()) {
		return invalid("fd_token", "must be 64 hexadecimal digits")
	}
	parent, err := s.own(ctx, req.GetHandle())
	if err != nil {
		return err
	}
	d, err := s.decide(ctx, ofSession, req.GetSpec(), func(spec *brokerv1.UnitSpec, labelPrefix string) (*policy.Request, error) {
		return sessionRequest(spec, labelPrefix, parent.rule)
	}, func(d *policy.Decision) error { return sameView(newRecord(d, ""), parent, d) })
	if err != nil {
		return err
	}
	r := newRecord(d, "")
	r.session, r.ownership = parent.unit, parent.ownership
	exit, err := s.session(ctx, r, d, req.GetSpec(), key, parent, func() error {
		return stream.Send(&brokerv1.ExecInUnitResponse{})
	})
	if err != nil {
		return err
	}
	return stream.Send(&brokerv1.ExecInUnitResponse{Exit: exit})
}

// viewOf identifies the user, the directories, volumes and the sandbox of a decision: a
// unit's sessions must be no other's, see nothing else and do no more.
func viewOf(d *policy.Decision) string {
	dirs, identity := d.Request().Directories, ephemeralUser
	if u, ok := d.User(); ok {
		identity = fmt.Sprintf("%s %d %d", u.Name, u.UID, u.GID)
	}
	parts := []string{identity, dirs.Alloc, dirs.Local, dirs.Secrets, d.Profile()}
	parts = append(parts, fmt.Sprint(d.Request().Rootfs, d.Request().Devices), d.Request().NetworkNamespace)
	for _, v := range d.Request().Volumes {
		parts = append(parts, "volume", v.Source, v.Destination, strconv.FormatBool(v.ReadOnly), strconv.FormatBool(v.Image))
	}
	if g, ok := d.Group(); ok {
		parts = append(parts, "group", strconv.FormatUint(uint64(g.GID), 10))
	}
	for _, g := range d.SupplementaryGroups() {
		parts = append(parts, "supplementary group", strconv.FormatUint(uint64(g.GID), 10))
	}
	if d.Request().UserManager {
		parts = append(parts, "user manager")
	}
	for _, c := range d.Request().Credentials {
		parts = append(parts, "credential", c.Name)
	}
	for _, set := range d.Request().Directives {
		parts = append(parts, set.Name, strconv.Itoa(len(set.Lines)))
		parts = append(parts, set.Lines...)
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// sameView refuses a session that would not have its unit's own labels, which may be
// proven, user, directories and sandbox.
func sameView(r, parent *record, d *policy.Decision) error {
	switch {
	case !maps.Equal(r.labels, parent.labels):
		return &policy.Denial{
			Subject: "session labels", Value: parent.unit,
			Reason: "the unit was started with other labels; those of its sessions are the same",
		}
	case parent.view == "":
		return &policy.Denial{
			Subject: "session", Value: parent.unit,
			Reason: "an earlier version of systemd-brokerd started the unit and did not note its directories, which those of its sessions must equal; start the unit anew",
		}
	case r.user != parent.user:
		return &policy.Denial{
			Subject: "session user", Value: r.user,
			Reason: "the unit runs as user " + parent.user + " (- is an ephemeral one), and so must its sessions",
		}
	case r.view != parent.view:
		return &policy.Denial{
			Subject: "session directories", Value: d.Request().Directories.Local,
			Reason: "the unit " + parent.unit + " was started with other directories, groups or credentials, another profile or other directives, or its user has another uid by now; a session sees and may do what its unit does",
		}
	}
	return nil
}

// session runs r to its end and leaves nothing of it. It calls executed when the
// program has been.
func (s *Server) session(
	ctx context.Context, r *record, d *policy.Decision, spec *brokerv1.UnitSpec, key fdKey, parent *record, executed func() error,
) (*brokerv1.Exit, error) {
	if ended(s.closing) {
		return nil, errStopping
	}
	if ended(parent.ended) {
		return nil, errNotRunning
	}
	_, first, err := s.reserve(ctx, r, d)
	if err != nil {
		return nil, err
	}
	if !first {
		return nil, errOtherContent
	}
	// Neither the start nor the removal stops half-way if the caller goes away.
	whole := context.WithoutCancel(ctx)
	begin, cancel := context.WithTimeout(whole, s.startTimeout)
	defer cancel()
	if err := s.start(begin, r, d, spec, s.fds.take(key), parent); err != nil {
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
