// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/policy"
)

// quiet is how long no file of the policy may change before it is read: what is
// being unpacked or written file by file is taken as a whole.
const quiet = 200 * time.Millisecond

// reloader puts the policy in force anew when its files change or at SIGHUP: all
// of it, or what was in force stays.
type reloader struct {
	load  func() (*policy.Policy, error)
	watch *policyWatch // nil: at SIGHUP only
	// apply puts a policy in force, refuse records why one cannot be loaded.
	apply  func(context.Context, *policy.Policy) error
	refuse func(error)
	// notify tells systemd.
	notify func(state string)

	inForce string // its SHA-256, empty if there is none
	failed  bool   // the last load did
}

func newReloader(o options, log *slog.Logger) *reloader {
	r := &reloader{
		load:   func() (*policy.Policy, error) { return loadPolicy(o.policyDir) },
		notify: func(state string) { notify(log, state) },
	}
	if !o.watch {
		return r
	}
	var err error
	if r.watch, err = watchPolicy(o.policyDir); err != nil {
		log.Warn("the policy is loaded again at SIGHUP only", slog.Any("error", err))
	}
	return r
}

func (r *reloader) close() {
	if r.watch != nil {
		r.watch.close()
	}
}

// first is the policy at start. With mistakes in it nothing may start, but what
// runs can still be watched and stopped; the error says why.
func (r *reloader) first() (*policy.Policy, error) {
	p, err := r.load()
	if err != nil {
		r.failed = true
		return policy.DenyAll(), err
	}
	r.inForce = p.SHA256()
	return p, nil
}

// run reloads until ctx ends.
func (r *reloader) run(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	defer signal.Stop(hup)
	r.loop(ctx, hup)
}

func (r *reloader) loop(ctx context.Context, hup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			r.notify(daemon.SdNotifyReloading)
			p, err := r.load()
			err = r.put(ctx, p, err)
			r.notify(daemon.SdNotifyReady + "\nSTATUS=" + r.status(err))
		case <-r.watch.changes():
			if p, err := r.atRest(ctx); err != nil || r.failed || p.SHA256() != r.inForce {
				err = r.put(ctx, p, err)
				r.notify("STATUS=" + r.status(err))
			}
		}
	}
}

// atRest reads the policy when its files have come to rest, and anew if they have
// changed meanwhile: nobody wrote what is half of each.
func (r *reloader) atRest(ctx context.Context) (*policy.Policy, error) {
	rest := time.NewTimer(quiet)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.watch.changes():
			rest.Reset(quiet)
		case <-rest.C:
			if err := r.watch.arm(); err != nil {
				return nil, err
			}
			p, err := r.load()
			if len(r.watch.changes()) == 0 {
				return p, err
			}
		}
	}
}

// put puts p in force, unless it could not be read.
func (r *reloader) put(ctx context.Context, p *policy.Policy, err error) error {
	if err == nil {
		err = r.apply(ctx, p)
	}
	if ctx.Err() != nil {
		return ctx.Err() // the daemon ends
	}
	r.failed = err != nil
	if err != nil {
		r.refuse(err)
		return err
	}
	r.inForce = p.SHA256()
	return nil
}

// maxStatus bounds the line in systemctl status.
const maxStatus = 300

// status is the daemon's line in systemctl status, after a load that err ended.
func (r *reloader) status(err error) string {
	if err == nil {
		return inForceText(r.inForce)
	}
	// A line's end would begin another variable of sd_notify(3).
	why, _, _ := strings.Cut(err.Error(), "\n")
	if len(why) > maxStatus {
		why = why[:maxStatus] + "…"
	}
	why = strings.ToValidUTF8(why, "?")
	if r.inForce == "" {
		return "Denying all: the policy cannot be loaded: " + why + "."
	}
	return "The last reload failed: " + why + ". " + inForceText(r.inForce)
}

// inForceText is what the daemon says of itself, and "status" looks for.
func inForceText(sha256 string) string { return "Policy " + sha256[:12] + " in force." }
