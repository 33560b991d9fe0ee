// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker"
	"nomad-systemd-driver/broker/systemd"
)

// options are the flags of "serve".
type options struct {
	policyDir, runtimeDir      string
	listen, listenFDs, logName string
	group                      string
	level                      slog.Level
	watch                      bool
}

const serveAbout = `Runs the daemon. Under systemd it takes its two sockets from
systemd-brokerd.socket and systemd-brokerd-fds.socket; elsewhere --listen and
--listen-fds name them. The policy is loaded again when its files change, and at
SIGHUP; one with mistakes leaves the one in force. SIGTERM ends the daemon; the tasks go on.`

func serve(ctx context.Context, args []string, stderr io.Writer) error {
	var o options
	flags := newFlags("systemd-brokerd serve", serveAbout, stderr)
	flags.StringVar(&o.policyDir, "policy", defaultPolicyDir, "directory with the policy's *.hcl files")
	flags.StringVar(&o.runtimeDir, "runtime-dir", "/run/systemd-brokerd", "directory for the daemon's own files, root's alone")
	flags.StringVar(&o.listen, "listen", "", "path of the API socket, when not started by a socket unit")
	flags.StringVar(&o.listenFDs, "listen-fds", "", "path of the descriptor socket, when not started by a socket unit")
	flags.StringVar(&o.group, "socket-group", "nomad", "group that may connect, with --listen")
	flags.StringVar(&o.logName, "log", "auto", "where the log goes: journal, stderr, or auto")
	flags.BoolVar(&o.watch, "watch", true, "load the policy again when its files change")
	flags.TextVar(&o.level, "log-level", slog.LevelInfo, "the least that is logged: debug, info, warn, error; audit records go to the journal whatever it is")
	verbose := flags.Bool("verbose", false, "the same as --log-level debug")
	if err := parse(flags, args); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("the daemon must run as root: it asks PID 1 to start units")
	}
	if *verbose {
		o.level = slog.LevelDebug
	}
	log, err := newLog(o.logName, o.level, stderr)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT)
	defer stop()
	return runDaemon(ctx, o, log)
}

func runDaemon(ctx context.Context, o options, log *slog.Logger) error {
	lock, err := lockDirectory(o.runtimeDir)
	if err != nil {
		return err
	}
	defer unix.Close(lock) //nolint:errcheck // nothing was written
	sockets, err := openSockets(o)
	if err != nil {
		return err
	}
	defer sockets.close()
	policies := newReloader(o, log)
	defer policies.close()
	p, mistake := policies.first()
	server, err := broker.New(ctx, broker.Config{
		Policy: p, RuntimeDir: o.runtimeDir, Log: log, Audit: auditSink(log), Version: version,
		Mounts: mountsClient(o.runtimeDir),
		Connect: func(ctx context.Context, watch func(string) bool) (broker.Systemd, error) {
			return systemd.Dial(ctx, systemd.Options{Logger: log, Watch: watch})
		},
	})
	if err != nil {
		return err
	}
	defer server.Close()
	policies.apply, policies.refuse = server.SetPolicy, server.PolicyRefused
	if mistake != nil {
		server.PolicyRefused(mistake)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.ServeFDs(ctx, sockets.fds); err != nil {
			cancel(err)
		}
	})
	if sockets.stats != nil {
		wg.Go(func() {
			if err := server.ServeStats(ctx, sockets.stats); err != nil {
				cancel(err)
			}
		})
	}
	wg.Go(func() { policies.run(ctx) })
	wg.Go(func() { feedWatchdog(ctx, server, log) })
	notify(log, daemon.SdNotifyReady+"\nSTATUS="+policies.status(mistake))
	log.Info("ready", slog.String("version", version), slog.Int("units", server.Units()))
	err = server.Serve(ctx, sockets.api)
	notify(log, daemon.SdNotifyStopping)
	cancel(err)
	wg.Wait()
	return err
}

// notify tells systemd about the daemon's state (sd_notify(3)); elsewhere it
// does nothing.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("cannot notify systemd", slog.Any("error", err))
	}
}
