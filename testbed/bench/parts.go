// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/mounts"
	"nomad-systemd-driver/broker/systemd/unitpath"
	"nomad-systemd-driver/broker/unit"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// parts measures pieces of a start of the broker's by themselves: a call that does
// nothing but decide, and the mounts.
func (b *bench) parts() error {
	c, err := dialBroker(b.ctx)
	if err != nil {
		return err
	}
	d, err := c.user.directories()
	if err != nil {
		return err
	}
	if err := b.questions(c.user); err != nil {
		return err
	}
	if err := b.decisions(c.user); err != nil {
		return err
	}
	staging := mounts.Client{Socket: "/run/systemd-brokerd/mounts.sock", Dir: "/run/host/systemd-brokerd"}
	for round := range b.rounds + 1 {
		from := time.Now()
		if _, err := c.Info(b.ctx, &brokerv1.InfoRequest{}); err != nil {
			return err
		}
		info := time.Since(from)
		from = time.Now()
		if r, err := c.CheckStart(b.ctx, &brokerv1.CheckStartRequest{Spec: spec(newID(), d, sleep, "1")}); err != nil || !r.GetAllowed() {
			return fmt.Errorf("not allowed: %v: %w", r.GetDenial(), err)
		}
		check := time.Since(from)
		for _, user := range []*mounts.User{nil, {UID: 62000, GID: 62000}} {
			took, err := stage(b, staging, d, user)
			if err != nil {
				return err
			}
			if round > 0 {
				name := "stage"
				if user != nil {
					name = "stage, ids mapped"
				}
				b.seconds("part", name, "", round, took)
			}
		}
		if round > 0 {
			b.seconds("part", "Info", "", round, info)
			b.seconds("part", "CheckStart", "", round, check)
		}
	}
	return nil
}

func stage(b *bench, c mounts.Client, d *brokerv1.Directories, user *mounts.User) (time.Duration, error) {
	var all []mounts.Mount
	for _, dir := range []string{d.GetAlloc(), d.GetLocal(), d.GetSecrets()} {
		rel, err := filepath.Rel(allocRoot, dir)
		if err != nil {
			return 0, err
		}
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return 0, err
		}
		defer unix.Close(fd) //nolint:errcheck // nothing was written
		all = append(all, mounts.Mount{Root: allocRoot, Path: rel, SameMount: true, Map: user, FD: fd})
	}
	from := time.Now()
	if _, _, err := c.Stage(b.ctx, "bench-part.service", all); err != nil {
		return 0, err
	}
	if _, err := os.Stat(mounts.Where(c.Dir, "bench-part.service", 0)); err != nil {
		return 0, err
	}
	if err := c.Unstage(b.ctx, "bench-part.service"); err != nil {
		return 0, err
	}
	return time.Since(from), nil
}

// decisions measures the policy by itself.
func (b *bench) decisions(who identity) error {
	const times = 100
	rules, err := readPolicy()
	if err != nil {
		return err
	}
	d, err := who.directories()
	if err != nil {
		return err
	}
	for round := range b.rounds + 1 {
		from := time.Now()
		for range times {
			if _, err := decide(rules, who, d, newID()); err != nil {
				return err
			}
		}
		if round > 0 {
			b.seconds("part", "decision of the policy, 1 rule", "", round, time.Since(from)/times)
		}
	}
	return nil
}

// questions measures the two ways to read the state of a unit back: each property by
// itself, sent in one piece, and all that a service has.
func (b *bench) questions(who identity) error {
	pid1, err := dialBus()
	if err != nil {
		return err
	}
	same, err := newSame(who)
	if err != nil {
		return err
	}
	u, err := same()
	if err != nil {
		return err
	}
	const name = "bench-questions.service"
	if err := pid1.start(b.ctx, name, u.Properties()); err != nil {
		return err
	}
	defer func() { _ = pid1.stop(b.ctx, name) }()
	object := pid1.conn.Object("org.freedesktop.systemd1", unitpath.Of(name))
	const properties, service = "org.freedesktop.DBus.Properties.", "org.freedesktop.systemd1.Service"
	names := unit.ReadBack(u.Intended())
	for round := range b.rounds + 1 {
		from, before := time.Now(), processor(1)
		done := make(chan *dbus.Call, len(names))
		for _, n := range names {
			object.Go(properties+"Get", 0, done, service, n)
		}
		for range names {
			if call := <-done; call.Err != nil {
				return call.Err
			}
		}
		single, singleOf1 := time.Since(from), processor(1)-before
		from, before = time.Now(), processor(1)
		var all map[string]dbus.Variant
		if err := object.CallWithContext(b.ctx, properties+"GetAll", 0, service).Store(&all); err != nil {
			return err
		}
		if round > 0 {
			of := fmt.Sprintf("%d times Get", len(names))
			b.seconds("part", of, "", round, single)
			b.seconds("part", of+", PID 1's part", "", round, singleOf1)
			b.seconds("part", "GetAll", "", round, time.Since(from))
			b.seconds("part", "GetAll, PID 1's part", "", round, processor(1)-before)
		}
	}
	return nil
}
