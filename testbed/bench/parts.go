// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/mounts"
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
	staging := mounts.Client{Socket: "/run/systemd-brokerd/mounts.sock", Dir: "/run/systemd-brokerd/mounts"}
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
	if _, err := c.Stage(b.ctx, "bench-part.service", all); err != nil {
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
