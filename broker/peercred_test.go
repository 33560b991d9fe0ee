// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"

	"nomad-systemd-driver/broker/policy"
)

// serveGRPC runs an empty gRPC server behind the peer check and returns its socket.
func serveGRPC(t *testing.T, admit func(policy.Peer) error) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.Creds(peerCredentials{readPeer, admit}), grpc.ConnectionTimeout(handshakeLimit))
	go func() { _ = srv.Serve(newCallListener(l, slog.New(slog.DiscardHandler), newBudget())) }()
	t.Cleanup(srv.Stop)
	return path
}

func dial(t *testing.T, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestHandshakeReadsThePeerFromTheKernel(t *testing.T) {
	got := make(chan policy.Peer, 1)
	conn := dial(t, serveGRPC(t, func(p policy.Peer) error { got <- p; return nil }))
	want := policy.Peer{UID: uint32(os.Getuid()), PID: int32(os.Getpid())}
	if p := <-got; p != want {
		t.Errorf("got %+v, want %+v", p, want)
	}
	// An admitted peer is greeted: the server sends its HTTP/2 settings.
	if n, err := conn.Read(make([]byte, 1)); n != 1 {
		t.Errorf("an admitted peer got nothing: %v", err)
	}
}

func TestHandshakeClosesOnAStrangerBeforeAnyHTTP2Byte(t *testing.T) {
	conn := dial(t, serveGRPC(t, func(policy.Peer) error { return errors.New("not a client") }))
	_, _ = conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	if got, err := io.ReadAll(conn); len(got) != 0 {
		t.Errorf("a stranger was sent %q (%v)", got, err)
	}
}

func TestReadPeerRefusesWhatIsNotAUnixSocket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if p, err := readPeer(conn); err == nil {
		t.Errorf("a TCP peer was taken for %+v", p)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, err := readPeer(a); err == nil {
		t.Error("a pipe has a peer")
	}
}

func TestLimitListenerBoundsConnectionsOfOneUser(t *testing.T) {
	l := newLimitListener(nil, nil, maxConnsPerUID)
	for range maxConnsPerUID {
		if !l.enter(1000) {
			t.Fatal("refused below the limit")
		}
	}
	if l.enter(1000) {
		t.Error("one more than the limit was let in")
	}
	if !l.enter(1001) {
		t.Error("another user is held up")
	}
	l.leave(1000)
	if !l.enter(1000) {
		t.Error("a place that was given back is not free")
	}
	for uid := uint32(2000); l.enter(uid); uid++ {
	}
	if l.total != maxConns {
		t.Errorf("%d connections were let in, want %d", l.total, maxConns)
	}
}
