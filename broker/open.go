// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/policy"
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
func (s *Server) open(ctx context.Context, r *record, dirs *brokerv1.Directories) {
	err := s.tryOpen(context.WithoutCancel(ctx), ctx, r, dirs)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "cannot open the directories of a unit; its client cannot remove all that is in them",
			slog.String("BROKER_UNIT", r.unit), slog.String("BROKER_REQUEST_ID", requestID(ctx)), slog.Any("error", err))
	}
}

func (s *Server) tryOpen(whole, ctx context.Context, r *record, dirs *brokerv1.Directories) error {
	whole, cancel := context.WithTimeout(whole, openTimeout)
	defer cancel()
	if !ended(r.ended) {
		if err := s.kill(whole, r); err != nil {
			return err
		}
	}
	d, err := s.decideOpening(ctx, r, dirs)
	if err != nil {
		return err
	}
	opener := newRecord(d, "")
	opener.session = r.unit // for the next broker, should this one die: not a unit of the client's
	fds, err := nullFDs()
	if err != nil {
		return err
	}
	if _, first, err := s.units.reserve(opener, 0, policy.Quota{}); err != nil || !first {
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

// decideOpening asks the policy for the unit that opens directories, which runs this
// program.
func (s *Server) decideOpening(ctx context.Context, r *record, dirs *brokerv1.Directories) (*policy.Decision, error) {
	p, err := peerOf(ctx)
	if err != nil {
		return nil, err
	}
	s.units.mu.Lock()
	uid := r.status.UID
	s.units.mu.Unlock()
	user := r.user
	if user == ephemeralUser {
		user = ""
	}
	return s.policy.Load().DecideOpening(p, &policy.Request{
		ID: r.id + "/open", Name: []string{"open"}, Labels: r.labels, User: user, Session: true, Rule: r.rule,
		Command: s.program, Args: []string{"open", strconv.FormatUint(uint64(uid), 10), "/local", "/secrets", "/alloc"}, WorkingDirectory: "/",
		Directories: policy.Directories{Alloc: dirs.GetAlloc(), Local: dirs.GetLocal(), Secrets: dirs.GetSecrets()},
		Resources:   policy.Resources{MemoryMax: openMemory, TasksMax: openTasks},
	})
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
