// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// Names of the sockets in the socket units (FileDescriptorName=).
const (
	apiSocket = "broker"
	fdsSocket = "fds"
	// statsSocket is only there if systemd-brokerd-stats.socket is.
	statsSocket = "stats"
)

// sockets are the two sockets that clients connect to, and the one for statistics,
// which may be nil.
type sockets struct{ api, fds, stats net.Listener }

func (s sockets) close() {
	_ = s.api.Close()
	_ = s.fds.Close()
	if s.stats != nil {
		_ = s.stats.Close()
	}
}

// openSockets takes the sockets from systemd, or makes them at the paths of the
// flags.
func openSockets(o options) (sockets, error) {
	given, err := activation.ListenersWithNames()
	if err != nil {
		return sockets{}, fmt.Errorf("cannot take the sockets from systemd: %w", err)
	}
	if len(given) > 0 {
		return fromSystemd(given)
	}
	if o.listen == "" || o.listenFDs == "" {
		return sockets{}, errors.New("no sockets: start systemd-brokerd.socket and systemd-brokerd-fds.socket, or pass --listen and --listen-fds")
	}
	names, err := hostUsers()
	if err != nil {
		return sockets{}, err
	}
	gid, err := names.Group(o.group)
	if err != nil {
		return sockets{}, fmt.Errorf("cannot make the sockets for group %q: %w", o.group, err)
	}
	api, err := listen("unix", o.listen, int(gid))
	if err != nil {
		return sockets{}, err
	}
	fds, err := listen("unixpacket", o.listenFDs, int(gid))
	if err != nil {
		_ = api.Close()
		return sockets{}, err
	}
	return sockets{api: api, fds: fds}, nil
}

// fromSystemd accepts exactly the sockets that the socket units make.
func fromSystemd(given map[string][]net.Listener) (sockets, error) {
	expected := 2
	if len(given[statsSocket]) > 0 {
		expected = 3
	}
	if len(given) != expected {
		return sockets{}, fmt.Errorf("systemd passed %d kinds of sockets; exactly %q, %q and, if wanted, %q are expected", len(given), apiSocket, fdsSocket, statsSocket)
	}
	api, err := one(given, apiSocket, "unix")
	if err != nil {
		return sockets{}, err
	}
	fds, err := one(given, fdsSocket, "unixpacket")
	if err != nil {
		return sockets{}, err
	}
	s := sockets{api: api, fds: fds}
	if expected == 3 {
		s.stats, err = one(given, statsSocket, "unix")
	}
	return s, err
}

func one(given map[string][]net.Listener, name, network string) (net.Listener, error) {
	if len(given[name]) != 1 {
		return nil, fmt.Errorf("systemd passed %d sockets named %q; exactly one is expected", len(given[name]), name)
	}
	l, ok := given[name][0].(*net.UnixListener)
	if !ok || l.Addr().Network() != network {
		return nil, fmt.Errorf("the socket %q from systemd is not a %s socket", name, network)
	}
	if path := l.Addr().String(); path == "" || path[0] != '/' {
		return nil, fmt.Errorf("the socket %q from systemd is not bound to a path: %q", name, path)
	}
	return l, nil
}

// listen makes a socket that root and one group can connect to. It is root's
// alone until the group is set: it is never open wider than in the end.
func listen(network, path string, gid int) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot replace the socket of an earlier run: %w", err)
	}
	old := unix.Umask(0o177)
	l, err := net.ListenUnix(network, &net.UnixAddr{Name: path, Net: network})
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	if err := errors.Join(os.Chown(path, 0, gid), os.Chmod(path, 0o660)); err != nil { //nolint:gosec // G302: the group may connect
		_ = l.Close()
		return nil, fmt.Errorf("cannot open the socket to its group: %w", err)
	}
	return l, nil
}
