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
	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
)

// options are the flags of "serve".
type options struct {
	policyDir, runtimeDir      string
	listen, listenFDs, logName string
	group                      string
	verbose                    bool
}

const serveAbout = `Runs the daemon. Under systemd it takes its two sockets from
systemd-brokerd.socket and systemd-brokerd-fds.socket; elsewhere --listen and
--listen-fds name them. SIGHUP loads the policy again; a policy with mistakes
leaves the one in force. SIGTERM ends the daemon; the tasks go on.`

func serve(ctx context.Context, args []string, stderr io.Writer) error {
	var o options
	flags := newFlags("systemd-brokerd serve", serveAbout, stderr)
	flags.StringVar(&o.policyDir, "policy", defaultPolicyDir, "directory with the policy's *.hcl files")
	flags.StringVar(&o.runtimeDir, "runtime-dir", "/run/systemd-brokerd", "directory for the daemon's own files, root's alone")
	flags.StringVar(&o.listen, "listen", "", "path of the API socket, when not started by a socket unit")
	flags.StringVar(&o.listenFDs, "listen-fds", "", "path of the descriptor socket, when not started by a socket unit")
	flags.StringVar(&o.group, "socket-group", "nomad", "group that may connect, with --listen")
	flags.StringVar(&o.logName, "log", "auto", "where the log goes: journal, stderr, or auto")
	flags.BoolVar(&o.verbose, "verbose", false, "log at debug level")
	if err := parse(flags, args); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("the daemon must run as root: it asks PID 1 to start units")
	}
	log, err := newLog(o.logName, o.verbose, stderr)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT)
	defer stop()
	return runDaemon(ctx, o, log)
}

func runDaemon(ctx context.Context, o options, log *slog.Logger) error {
	sockets, err := openSockets(o)
	if err != nil {
		return err
	}
	defer sockets.close()
	p, status := firstPolicy(o.policyDir, log)
	server, err := broker.New(ctx, broker.Config{
		Policy: p, RuntimeDir: o.runtimeDir, Log: log, Audit: auditSink(log), Version: version,
		Connect: func(ctx context.Context, watch func(string) bool) (broker.Systemd, error) {
			return systemd.Dial(ctx, systemd.Options{Logger: log, Watch: watch})
		},
	})
	if err != nil {
		return err
	}
	defer server.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.ServeFDs(ctx, sockets.fds); err != nil {
			cancel(err)
		}
	})
	wg.Go(func() { reloadOnHangup(ctx, o.policyDir, server, log, status) })
	wg.Go(func() { feedWatchdog(ctx, server, log) })
	notify(log, daemon.SdNotifyReady+"\nSTATUS="+status)
	log.Info("ready", slog.String("version", version), slog.Int("units", server.Units()))
	err = server.Serve(ctx, sockets.api)
	notify(log, daemon.SdNotifyStopping)
	cancel(err)
	wg.Wait()
	return err
}

// firstPolicy is the policy at start. With mistakes in it nothing may start,
// but what runs can still be watched and stopped.
func firstPolicy(dir string, log *slog.Logger) (*policy.Policy, string) {
	p, err := loadPolicy(dir)
	if err != nil {
		log.Error("the policy cannot be loaded; no unit can be started until it is mended and reloaded", slog.Any("error", err))
		return policy.DenyAll(), "Denying all: the policy cannot be loaded, see the log."
	}
	return p, "Policy " + p.SHA256()[:12] + " in force."
}

// reloadOnHangup loads the policy anew at each SIGHUP, until ctx ends.
func reloadOnHangup(ctx context.Context, dir string, server *broker.Server, log *slog.Logger, status string) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		}
		notify(log, daemon.SdNotifyReloading)
		p, err := loadPolicy(dir)
		if err == nil {
			err = server.SetPolicy(ctx, p)
		}
		if err != nil {
			log.Error("the policy cannot be loaded; the one in force stays", slog.Any("error", err))
			notify(log, daemon.SdNotifyReady+"\nSTATUS=The last reload failed, see the log. "+status)
			continue
		}
		status = "Policy " + p.SHA256()[:12] + " in force."
		log.Info("policy loaded", slog.String("BROKER_POLICY_SHA256", p.SHA256()))
		notify(log, daemon.SdNotifyReady+"\nSTATUS="+status)
	}
}

// notify tells systemd about the daemon's state (sd_notify(3)); elsewhere it
// does nothing.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("cannot notify systemd", slog.Any("error", err))
	}
}
