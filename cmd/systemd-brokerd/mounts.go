// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/mounts"
)

const mountsAbout = `Mounts directories for the daemon where PID 1 finds them and no client can
exchange them. It runs in the mount namespace of PID 1, started by
systemd-brokerd-mounts.socket, and serves root alone: the daemon has neither the
namespace nor the capability.`

// mountsName is what the socket of the process that mounts is called in its unit.
const mountsName = "mounts"

// mountsDir is where it mounts for the daemon of runtimeDir. PID 1 makes a unit of each
// mount that it sees, nearly nine tenths of its work on the mounts for a start, but not
// below /run/host (mount_point_ignore in systemd's mount-setup.c, since 247).
func mountsDir(runtimeDir string) string {
	return filepath.Join("/run/host", strings.TrimPrefix(runtimeDir, "/run/"))
}

func mountsClient(runtimeDir string) mounts.Client {
	return mounts.Client{Socket: filepath.Join(runtimeDir, "mounts.sock"), Dir: mountsDir(runtimeDir)}
}

func serveMounts(ctx context.Context, args []string, stderr io.Writer) error {
	var runtimeDir, listenAt, logName string
	flags := newFlags("systemd-brokerd mounts", mountsAbout, stderr)
	flags.StringVar(&runtimeDir, "runtime-dir", "/run/systemd-brokerd", "the daemon's directory")
	flags.StringVar(&listenAt, "listen", "", "path of the socket, when not started by a socket unit")
	flags.StringVar(&logName, "log", "auto", "where the log goes: journal, stderr, or auto")
	if err := parse(flags, args); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("mounts are root's to make")
	}
	log, err := newLog(logName, slog.LevelInfo, stderr)
	if err != nil {
		return err
	}
	l, err := mountsListener(listenAt)
	if err != nil {
		return err
	}
	server, err := mounts.NewServer(mountsDir(runtimeDir), log)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT)
	defer stop()
	notify(log, daemon.SdNotifyReady)
	log.Info("ready", slog.String("version", version))
	return server.Serve(ctx, l)
}

func mountsListener(path string) (net.Listener, error) {
	given, err := activation.ListenersWithNames()
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot take the socket from systemd: %w", err)
	case len(given) > 0:
		return one(given, mountsName, "unixpacket")
	case path == "":
		return nil, errors.New("no socket: start systemd-brokerd-mounts.socket, or pass --listen")
	}
	return listen("unixpacket", path, 0)
}
