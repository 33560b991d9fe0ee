// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/broker/unit"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// openTimeout bounds the opening of directories: a hundred thousand take a second.
const openTimeout = 2 * time.Minute

const (
	openMemory = 128 << 20
	openTasks  = 32
)

// open has what r's unit left in its directories opened, when all of its processes
// are gone. A failure leaves directories that the client cannot remove.
func (s *Server) open(ctx context.Context, r *record, req *brokerv1.RemoveUnitRequest) {
	if err := s.tryOpen(context.WithoutCancel(ctx), ctx, r, req); err != nil {
		s.cannotOpen(ctx, r, err)
	}
}

func (s *Server) cannotOpen(ctx context.Context, r *record, err error) {
	s.log.LogAttrs(ctx, slog.LevelWarn, "cannot open the directories of a unit; its client cannot remove all that is in them",
		slog.String("BROKER_UNIT", r.unit), slog.String("BROKER_REQUEST_ID", requestID(ctx)), slog.Any("error", err))
}

func (s *Server) tryOpen(whole, ctx context.Context, r *record, req *brokerv1.RemoveUnitRequest) error {
	whole, cancel := context.WithTimeout(whole, openTimeout)
	defer cancel()
	if !ended(r.ended) {
		if err := s.kill(whole, r); err != nil {
			return err
		}
	}
	d, err := s.decideOpening(ctx, r, req)
	if err != nil {
		return err
	}
	opener := newRecord(d, "")
	opener.session = r.unit // for the next broker, should this one die: not a unit of the client's
	// What is mapped need not be opened; and what is not would be nobody's if it were.
	opener.ownership = ofUser
	fds, err := nullFDs()
	if err != nil {
		return err
	}
	limit := 0
	if !r.live {
		limit = d.Client().MaxUnits // nothing else bounds how many units are gone
	}
	if _, first, err := s.units.reserve(opener, limit, policy.Quota{}); err != nil || !first {
		fds.close()
		return errors.Join(err, errLeft)
	}
	if err := s.start(whole, opener, d, openingSpec(d), fds, r); err != nil {
		return err
	}
	defer s.abandon(whole, opener)
	select {
	case <-opener.ended:
	case <-whole.Done():
		return whole.Err()
	case <-s.closing:
		return errStopping
	}
	if e := s.units.snapshot(opener).GetExit(); e.GetCode() != 0 || e.GetSignal() != 0 {
		return fmt.Errorf("its program ended with exit code %d, signal %d; see journalctl -u %s", e.GetCode(), e.GetSignal(), opener.unit)
	}
	return nil
}

// openGone opens directories as [Server.open] does, for a unit that is gone: PID 1 knows
// nothing of it any more, so that who it ran as is what the client says and the policy
// allows.
func (s *Server) openGone(ctx context.Context, c *policy.Client, req *brokerv1.RemoveUnitRequest) {
	name, uid := req.GetHandle().GetUnit(), req.GetOpenUid()
	if !unitPattern.MatchString(name) || s.units.known(name) {
		return
	}
	r := (&record{client: c.Name, id: "gone/" + name, unit: name}).begun()
	r.user = strconv.FormatUint(uint64(uid), 10)
	r.status.UID = uid
	close(r.ended)
	if unit.IsDynamicUID(uid) {
		r.user = ephemeralUser
		if err := s.nameOwner(r, c, uid); err != nil {
			s.cannotOpen(ctx, r, err)
			return
		}
	}
	s.open(ctx, r, req)
}

var unitPattern = regexp.MustCompile(`\A[A-Za-z0-9_-]{1,200}\.service\z`)

// nameOwner finds a name by which systemd allocates uid. Nobody may have it now: what is
// done as a unit's user could be done to another's.
func (s *Server) nameOwner(r *record, c *policy.Client, uid uint32) error {
	for salt := range maxNames {
		if r.dynamic = unit.DynamicUserName(c.UnitPrefix, r.id, salt); unit.DynamicUID(r.dynamic) == uid {
			break
		}
	}
	if unit.DynamicUID(r.dynamic) != uid || s.allocated(uid) || s.units.has(uid) {
		return fmt.Errorf("its uid %d is another's by now", uid)
	}
	return nil
}

// decideOpening asks the policy for the unit that opens directories, which runs this
// program.
func (s *Server) decideOpening(ctx context.Context, r *record, req *brokerv1.RemoveUnitRequest) (*policy.Decision, error) {
	p, err := peerOf(ctx)
	if err != nil {
		return nil, err
	}
	s.units.mu.Lock()
	user, uid := r.user, r.status.UID
	owner := policy.Owner{UID: uid, Ephemeral: user == ephemeralUser, Ran: r.live}
	s.units.mu.Unlock()
	if uid == systemd.NoUID {
		return nil, errors.New("nobody knows any more which uid the unit ran as")
	}
	if owner.Ephemeral {
		user = ""
	}
	dirs, args := req.GetOpen(), []string{"open", strconv.FormatUint(uint64(uid), 10), "/local", "/secrets"}
	if !req.GetKeepAlloc() {
		args = append(args, "/alloc")
	}
	return s.policy.Load().DecideOpening(p, &policy.Request{
		ID: r.id + "/open", Name: []string{"open"}, Labels: r.labels, User: user, Session: true, Rule: r.rule,
		Command: s.program, Args: args, WorkingDirectory: "/",
		Directories: policy.Directories{Alloc: dirs.GetAlloc(), Local: dirs.GetLocal(), Secrets: dirs.GetSecrets()},
		Resources:   policy.Resources{MemoryMax: openMemory, TasksMax: openTasks},
	}, owner)
}

// openingSpec is what is on record of the unit that opens directories.
func openingSpec(d *policy.Decision) *brokerv1.UnitSpec {
	r := d.Request()
	return &brokerv1.UnitSpec{
		Id: r.ID, Name: r.Name, Labels: r.Labels, Command: r.Command, Args: r.Args, User: r.User, WorkingDirectory: r.WorkingDirectory,
		Directories: &brokerv1.Directories{Alloc: r.Directories.Alloc, Local: r.Directories.Local, Secrets: r.Directories.Secrets},
	}
}

// nullFDs are standard input, output and error of what says nothing to anybody.
func nullFDs() (descriptors, error) {
	var all descriptors
	for _, mode := range []int{unix.O_RDONLY, unix.O_WRONLY, unix.O_WRONLY} {
		fd, err := unix.Open(os.DevNull, mode|unix.O_CLOEXEC, 0)
		if err != nil {
			all.close()
			return nil, fmt.Errorf("cannot open %s: %w", os.DevNull, err)
		}
		all = append(all, fd)
	}
	return all, nil
}
