// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"nomad-systemd-driver/broker/policy"
)

const (
	// overflowUID is what the kernel reports for a peer whose user has no
	// number in this user namespace (/proc/sys/kernel/overflowuid).
	overflowUID = 65534
	invalidUID  = 1<<32 - 1
)

var errNoPeer = errors.New("the connection carries no peer credentials")

// peerInfo is the caller as the kernel reported it when it connected
// (SO_PEERCRED, unix(7)): it proves that a process of this uid called
// connect(2), and nothing about which process speaks now. The uid decides; the
// pid is for the audit log only.
type peerInfo struct {
	credentials.CommonAuthInfo
	policy.Peer
	meter *meter // of the connection
}

// AuthType implements credentials.AuthInfo.
func (peerInfo) AuthType() string { return "unix-peercred" }

// peerOf is the caller of the RPC that ctx belongs to.
func peerOf(ctx context.Context) (policy.Peer, error) {
	info, err := peerInfoOf(ctx)
	return info.Peer, err
}

func peerInfoOf(ctx context.Context) (peerInfo, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return peerInfo{}, errNoPeer
	}
	info, ok := p.AuthInfo.(peerInfo)
	if !ok {
		return peerInfo{}, errNoPeer
	}
	return info, nil
}

// peerCredentials are gRPC transport credentials for a Unix socket. The
// handshake reads the peer's credentials from the kernel and refuses, before a
// byte is read, every peer that admit does not let in.
type peerCredentials struct {
	read  func(net.Conn) (policy.Peer, error)
	admit func(policy.Peer) error
}

// ServerHandshake implements credentials.TransportCredentials. gRPC closes the
// connection when it returns an error.
func (c peerCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	p, err := c.read(conn)
	if err != nil {
		return nil, nil, err
	}
	if err := c.admit(p); err != nil {
		return nil, nil, err
	}
	common := credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}
	metered, ok := conn.(meteredConn)
	if !ok {
		return nil, nil, errNoPeer
	}
	return conn, peerInfo{common, p, metered.meter}, nil
}

// ClientHandshake implements credentials.TransportCredentials; the broker never dials.
func (peerCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("peer credentials are for servers")
}

// Info implements credentials.TransportCredentials.
func (peerCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "unix-peercred"}
}

// Clone implements credentials.TransportCredentials.
func (c peerCredentials) Clone() credentials.TransportCredentials { return c }

// OverrideServerName implements credentials.TransportCredentials.
func (peerCredentials) OverrideServerName(string) error { return nil }

// readPeer asks the kernel who connected. Every doubt is an error: a failed
// call never yields uid 0.
func readPeer(conn net.Conn) (policy.Peer, error) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return policy.Peer{}, fmt.Errorf("cannot identify the peer of a %T", conn)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return policy.Peer{}, fmt.Errorf("cannot identify the peer: %v", err)
	}
	var cred *unix.Ucred
	var credErr error
	service := ""
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		service = peerUnit(int(fd))
	}); err != nil {
		return policy.Peer{}, fmt.Errorf("cannot identify the peer: %v", err)
	}
	if credErr != nil {
		return policy.Peer{}, fmt.Errorf("cannot identify the peer: %v", credErr)
	}
	if cred == nil || cred.Uid == invalidUID || cred.Uid == overflowUID {
		return policy.Peer{}, errors.New("cannot identify the peer: its user has no number here")
	}
	return policy.Peer{UID: cred.Uid, PID: cred.Pid, Unit: service}, nil
}
