// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"nomad-systemd-driver/broker"
)

// feedWatchdog tells systemd that the daemon is alive, twice in each WatchdogSec=
// of its unit. It asks the server for something first that needs the server's
// lock: a daemon that is stuck falls silent, and systemd starts another.
func feedWatchdog(ctx context.Context, server *broker.Server, log *slog.Logger) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("cannot read WatchdogSec=", slog.Any("error", err))
	}
	if interval == 0 {
		return
	}
	tick := time.NewTicker(interval / 2)
	defer tick.Stop()
	for {
		_ = server.Units()
		notify(log, daemon.SdNotifyWatchdog)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
