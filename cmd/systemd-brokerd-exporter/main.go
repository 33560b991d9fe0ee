// SPDX-License-Identifier: MPL-2.0

// Command systemd-brokerd-exporter shows Prometheus what systemd-brokerd counts, and
// what its units use. It needs no privilege: it reads from the broker's socket for
// statistics, and from the kernel's files, and it alone speaks HTTP.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"nomad-systemd-driver/cgroup"
)

// version is set by the linker (-X main.version=).
var version = "0.0.0-dev"

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "systemd-brokerd-exporter:", err)
		os.Exit(1)
	}
}

const about = `systemd-brokerd-exporter shows Prometheus what systemd-brokerd counts and what its
units use, at /metrics. Under systemd it listens where systemd-brokerd-exporter.socket
says; elsewhere where --listen says: at a path, or at a loopback address.

Flags:
`

func run(args []string) error {
	flags := flag.NewFlagSet("systemd-brokerd-exporter", flag.ContinueOnError)
	listenAt := flags.String("listen", "", "path of a socket, or 127.0.0.1:PORT, when not started by a socket unit")
	broker := flags.String("broker", "/run/systemd-brokerd/stats.sock", "the broker's socket for statistics")
	units := flags.Bool("units", true, "also show what each unit uses")
	showVersion := flags.Bool("version", false, "print the version")
	flags.Usage = func() {
		fmt.Fprint(os.Stderr, about)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *showVersion {
		fmt.Println("systemd-brokerd-exporter", version)
		return nil
	}
	l, err := listener(*listenAt)
	if err != nil {
		return err
	}
	own := prometheus.NewRegistry()
	own.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	source := &source{path: *broker, groups: cgroup.Default, units: *units}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(prometheus.Gatherers{own, source}, promhttp.HandlerOpts{
		// Half an answer is better than none: systemd_brokerd_up tells.
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: 20 * time.Second,
	}))
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// listener takes the socket from systemd, or makes one.
func listener(at string) (net.Listener, error) {
	given, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("cannot take the socket from systemd: %w", err)
	}
	switch {
	case len(given) == 1:
		return given[0], nil
	case len(given) > 1:
		return nil, fmt.Errorf("systemd passed %d sockets; one is expected", len(given))
	case at == "":
		return nil, errors.New("no socket: start systemd-brokerd-exporter.socket, or pass --listen")
	case strings.HasPrefix(at, "/"):
		return net.Listen("unix", at)
	}
	host, _, err := net.SplitHostPort(at)
	if err != nil {
		return nil, fmt.Errorf("--listen %q is neither a path nor HOST:PORT: %w", at, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("--listen %q is no loopback address, such as 127.0.0.1: put what does TLS and authentication in front of it", at)
	}
	return net.Listen("tcp", at)
}
