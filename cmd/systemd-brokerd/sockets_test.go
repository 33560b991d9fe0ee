// SPDX-License-Identifier: MPL-2.0

package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// listenOn is a socket that ends with the test.
func listenOn(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestSocketsOfOthersAreRefused: the broker serves on the sockets of its own units, and
// on nothing else that it is passed, such as a socket that the network or another
// mount namespace can reach.
func TestSocketsOfOthersAreRefused(t *testing.T) {
	dir := t.TempDir()
	api := listenOn(t, "unix", filepath.Join(dir, "api"))
	fds := listenOn(t, "unixpacket", filepath.Join(dir, "fds"))
	stats := listenOn(t, "unix", filepath.Join(dir, "stats"))
	abstract := listenOn(t, "unix", "@"+filepath.Join(dir, "abstract"))
	tcp := listenOn(t, "tcp", "127.0.0.1:0")
	type given = map[string][]net.Listener
	for _, test := range []struct {
		name  string
		given given
		err   string // empty: they are taken
	}{
		{"those of the units", given{"broker": {api}, "fds": {fds}}, ""},
		{"with that of the statistics", given{"broker": {api}, "fds": {fds}, "stats": {stats}}, ""},
		{"one alone", given{"broker": {api}}, "systemd passed 1 kinds of sockets"},
		{"a further one", given{"broker": {api}, "fds": {fds}, "more": {stats}}, "systemd passed 3 kinds of sockets"},
		{"another name", given{"api": {api}, "fds": {fds}}, `systemd passed 0 sockets named "broker"`},
		{"two of a name", given{"broker": {api, stats}, "fds": {fds}}, `systemd passed 2 sockets named "broker"`},
		{"a socket of the network", given{"broker": {tcp}, "fds": {fds}}, `the socket "broker" from systemd is not a unix socket`},
		{"an abstract socket", given{"broker": {abstract}, "fds": {fds}}, `the socket "broker" from systemd is not bound to a path`},
		{"another kind of Unix socket", given{"broker": {fds}, "fds": {fds}}, `the socket "broker" from systemd is not a unix socket`},
		{"a stream for descriptors", given{"broker": {api}, "fds": {stats}}, `the socket "fds" from systemd is not a unixpacket socket`},
		{"statistics on the network", given{"broker": {api}, "fds": {fds}, "stats": {tcp}}, `the socket "stats" from systemd is not a unix socket`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := fromSystemd(test.given)
			if test.err == "" {
				if err != nil || s.api != test.given["broker"][0] || s.fds != test.given["fds"][0] || (s.stats != nil) != (len(test.given["stats"]) > 0) {
					t.Errorf("got %v, %v", s, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %v, want %q", err, test.err)
			}
		})
	}
}

// TestOneBrokerAtATime: two would not know of each other's units and descriptors.
func TestOneBrokerAtATime(t *testing.T) {
	dir := t.TempDir()
	first, err := lockDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDirectory(dir); err == nil || !strings.Contains(err.Error(), "another systemd-brokerd") {
		t.Errorf("a second broker: %v", err)
	}
	_ = unix.Close(first)
	second, err := lockDirectory(dir)
	if err != nil {
		t.Fatalf("after the end of the first: %v", err)
	}
	_ = unix.Close(second)
}
