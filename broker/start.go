// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"nomad-systemd-driver/broker/crashpoint"
	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/broker/unit"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// startTimeout bounds one start, from the first D-Bus message to execve(2). It
// is above the TimeoutStartUSec of all units.
const startTimeout = 90 * time.Second

// CheckStart implements brokerv1.BrokerServiceServer.
func (s *Server) CheckStart(ctx context.Context, req *brokerv1.CheckStartRequest) (*brokerv1.CheckStartResponse, error) {
	if err := known(req); err != nil {
		return nil, err
	}
	d, err := s.decide(ctx, ofCheck, req.GetSpec(), request, nil)
	if denial, ok := errors.AsType[*policy.Denial](err); ok {
		return &brokerv1.CheckStartResponse{Denial: denialMessage(denial, requestID(ctx))}, nil
	}
	if err != nil {
		return nil, err
	}
	return &brokerv1.CheckStartResponse{Allowed: true, Rule: d.Rule()}, nil
}

// StartUnit implements brokerv1.BrokerServiceServer.
func (s *Server) StartUnit(ctx context.Context, req *brokerv1.StartUnitRequest) (*brokerv1.StartUnitResponse, error) {
	key := keyOf(ctx, req.GetSpec().GetLogging().GetFdToken())
	// What a refused call handed over would keep others from handing over.
	defer func() { s.fds.take(key).close() }()
	if err := known(req); err != nil {
		return nil, err
	}
	d, err := s.decide(ctx, ofStart, req.GetSpec(), request, nil)
	if err != nil {
		return nil, err
	}
	crashpoint.Here("start/decided")
	r, err := s.startOnce(ctx, d, req.GetSpec(), key)
	if err != nil {
		return nil, err
	}
	return &brokerv1.StartUnitResponse{Unit: s.units.snapshot(r)}, nil
}

// decide asks the policy in force about what read makes of spec, and veto, if
// there is one, about what it allows. Nothing starts without the decision it
// returns, and it returns none that is not recorded.
func (s *Server) decide(
	ctx context.Context, of decisionEvents, spec *brokerv1.UnitSpec,
	read func(*brokerv1.UnitSpec, string) (*policy.Request, error), veto func(*policy.Decision) error,
) (*policy.Decision, error) {
	p, err := peerOf(ctx)
	if err != nil {
		return nil, err
	}
	rules := s.policy.Load()
	client, ok := rules.Client(p.UID)
	if !ok {
		s.audit.refusedPeer(p)
		return nil, notAClient(p)
	}
	r, err := read(spec, labelPrefix(client))
	if err != nil {
		return nil, err
	}
	if !r.Session {
		r.Proof = s.proof(client, spec.GetIdentityToken())
	}
	d, err := rules.Decide(p, r)
	if err == nil && veto != nil {
		err = veto(d)
	}
	unrecorded := s.audit.decided(ctx, of, p, client, &question{spec, r, rules.SHA256()}, d, err)
	if err = cmp.Or(err, unrecorded); err != nil {
		return nil, err
	}
	return d, nil
}

func labelPrefix(c *policy.Client) string { return c.LabelPrefix() }

// startOnce starts the unit of d, or waits for and returns the unit that the
// same request started before.
func (s *Server) startOnce(ctx context.Context, d *policy.Decision, spec *brokerv1.UnitSpec, key fdKey) (*record, error) {
	sum, err := s.digest(spec)
	if err != nil {
		return nil, err
	}
	r, first, err := s.reserve(ctx, newRecord(d, sum), d)
	if err != nil {
		return nil, err
	}
	fds := s.fds.take(key)
	if !first {
		fds.close() // those of the first call count
		return s.joinStart(ctx, r, sum)
	}
	// The start goes on if the caller goes away: the caller's next try, with
	// the same id, then finds the unit.
	run := make(chan error, 1)
	s.background.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.startTimeout)
		defer cancel()
		run <- s.start(ctx, r, d, spec, fds, nil)
	})
	select {
	case err := <-run:
		return r, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// reserve makes room for r. That there is none is on record, as any other end of a
// start that was allowed.
func (s *Server) reserve(ctx context.Context, r *record, d *policy.Decision) (_ *record, first bool, err error) {
	reserved, first, err := s.units.reserve(r, d.Client().MaxUnits, d.Quota())
	if err != nil {
		s.audit.started(ctx, r, d, err)
	}
	return reserved, first, err
}

// joinStart answers a request whose id is known already.
func (s *Server) joinStart(ctx context.Context, r *record, sum string) (*record, error) {
	if s.units.removing(r) {
		return nil, errLeft
	}
	if r.sha256 != sum {
		return nil, errOtherContent
	}
	select {
	case <-r.started:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.units.mu.Lock()
	defer s.units.mu.Unlock()
	return r, r.startErr
}

// newRecord is the record of the unit that d allows.
func newRecord(d *policy.Decision, sha256 string) *record {
	req, client := d.Request(), d.Client()
	user := ephemeralUser
	if u, ok := d.User(); ok {
		user = u.Name
	}
	r := &record{
		client: client.Name, id: req.ID, unit: unit.Name(client.UnitPrefix, req.Name, req.ID),
		sha256: sha256, rule: d.Rule(), user: user, view: viewOf(d), labels: req.Labels, cpus: req.Resources.CPUs,
		memory: req.Resources.MemoryMax, policy: d.PolicySHA256(),
	}
	if u, ok := d.User(); ok {
		r.status.UID = u.UID // until PID 1 tells
		if req.UserManager {
			r.manager = u.UID
		}
	}
	return r.begun()
}

// start prepares what the unit needs and has PID 1 start it. It always ends r's
// start. When that fails, nothing is left behind, or r is kept until what PID 1
// may have of it is removed. It closes fds. A session's parent is the unit beside
// which it runs.
func (s *Server) start(ctx context.Context, r *record, d *policy.Decision, spec *brokerv1.UnitSpec, fds descriptors, parent *record) error {
	defer fds.close()
	crashpoint.Here("start/reserved")
	st, err := s.run(ctx, r, d, spec, fds, parent)
	if err != nil && !leavesUnit(err) {
		s.forgetRequest(r.unit)
	}
	crashpoint.Here("start/run")
	s.audit.started(ctx, r, d, err)
	crashpoint.Here("start/recorded")
	if s.units.finish(r, &st, err) {
		s.reap(ctx, r.unit, &st)
	}
	switch {
	case leavesUnit(err):
		s.abandon(ctx, r)
	case err != nil:
		s.removeRoot(r.unit)
	}
	return err
}

// leavesUnit reports whether PID 1 may have the unit of a start that failed.
func leavesUnit(err error) bool {
	_, other := errors.AsType[*systemd.MismatchError](err)
	return other || errors.Is(err, systemd.ErrOutcomeUnknown) || errors.Is(err, errLeft)
}

func (s *Server) run(
	ctx context.Context, r *record, d *policy.Decision, spec *brokerv1.UnitSpec, fds descriptors, parent *record,
) (systemd.Status, error) {
	req := d.Request()
	if err := s.checkCommand(req); err != nil {
		return systemd.Status{}, err
	}
	if why := s.programs.Refusal(req); why != "" {
		return systemd.Status{}, &startError{why}
	}
	if err := s.checkDevices(ctx, req.Devices); err != nil {
		return systemd.Status{}, err
	}
	if err := s.checkNetworkNamespace(req.NetworkNamespace); err != nil {
		return systemd.Status{}, err
	}
	if err := fds.enough(neededFDs(req)); err != nil {
		return systemd.Status{}, err
	}
	if err := s.newEnough(d); err != nil {
		return systemd.Status{}, err
	}
	if err := s.managerReady(d); err != nil {
		return systemd.Status{}, err
	}
	if parent == nil { // somebody waits for a session
		end, err := s.turns.begin(ctx, r.client)
		if err != nil {
			return systemd.Status{}, fmt.Errorf("the start's turn did not come: %w", err)
		}
		defer end()
	}
	root, err := s.rootFor(r, d)
	if err != nil {
		return systemd.Status{}, err
	}
	crashpoint.Here("start/root")
	if err := s.nameUser(r, d, parent); err != nil {
		return systemd.Status{}, err
	}
	user := mapTo(r, d)
	host := unit.Host{Root: root, DynamicUser: r.dynamic, ReadOnly: hostReadOnly, SharedCPUs: s.units.share(r), Systemd: major(s.systemd.Version())}
	switch len(fds) {
	case logFDs:
		host.Stdout, host.Stderr = fds[0], fds[1]
	case sessionFDs:
		host.Session = &unit.Session{Unit: parent.unit, Stdin: fds[0]}
		host.Stdout, host.Stderr = fds[1], fds[2]
	}
	files, err := s.newStartFiles(r.unit)
	if err != nil {
		return systemd.Status{}, err
	}
	defer files.remove()
	account := s.accountOf(d, host, parent)
	if host.Passwd, host.Group, err = files.accounts(account); err != nil {
		return systemd.Status{}, err
	}
	if r.manager != 0 {
		host.RuntimeDir = unit.RuntimeDir(r.manager)
	}
	if host.EnvironmentFile, err = files.environment(environmentOf(r, req)); err != nil {
		return systemd.Status{}, err
	}
	if host.Session != nil {
		host.Credentials = sessionCredentials(d, parent)
	} else if host.Credentials, err = files.credentials(d); err != nil {
		return systemd.Status{}, err
	}
	crashpoint.Here("start/files")
	unstage, err := s.stage(ctx, r, d, user, &host)
	if err != nil {
		return systemd.Status{}, err
	}
	// PID 1 has bound them when the program is executed.
	defer unstage()
	crashpoint.Here("start/staged")
	host.Fields = r.fields(d.Client().UID)
	if err := s.keepRequest(r.unit, spec, req); err != nil {
		return systemd.Status{}, err
	}
	crashpoint.Here("start/request")
	u, err := unit.From(d, host)
	if err != nil {
		return systemd.Status{}, err
	}
	st, err := s.systemd.Start(ctx, u)
	crashpoint.Here("start/executed")
	if err != nil {
		return st, s.explainStart(ctx, d, r.unit, err)
	}
	if r.mapped != 0 && st.UID != r.mapped && st.UID != 0 && st.UID != systemd.NoUID {
		s.units.avoid(r.mapped)
		return st, fmt.Errorf("systemd runs %s as uid %d, not as %d to which its directories are mapped, and which somebody else has got meanwhile: %w", r.unit, st.UID, r.mapped, errLeft)
	}
	if actual, other := account.allocated(st.UID); other {
		if err := files.correct(actual); err != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "a unit does not find the name of its user",
				slog.String("BROKER_UNIT", r.unit), slog.Any("error", err))
		}
	}
	return st, nil
}

// neededFDs is how many descriptors a request needs: none if its output goes
// elsewhere.
func neededFDs(req *policy.Request) int {
	switch {
	case req.Session:
		return sessionFDs
	case req.LogDriver == policy.LogFDs:
		return logFDs
	}
	return 0
}
