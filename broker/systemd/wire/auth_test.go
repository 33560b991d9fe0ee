// SPDX-License-Identifier: MPL-2.0

package wire_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nomad-systemd-driver/broker/systemd/wire"
)

func TestDialRefusesAPeerThatDoesNotAuthenticateUs(t *testing.T) {
	tests := []struct{ name, answer, want string }{
		{"rejected", "REJECTED EXTERNAL\r\n", "REJECTED"},
		{"endless line", strings.Repeat("O", 4096), "line of more than"},
		{"gone", "", "EOF"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := answering(t, test.answer)
			_, err := wire.Dial(testContext(t), path, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
	t.Run("silent", func(t *testing.T) {
		path, _ := listenSilent(t)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := wire.Dial(ctx, path, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want DeadlineExceeded", err)
		}
	})
}

func listenSilent(t *testing.T) (string, *net.UnixListener) {
	t.Helper()
	dir, err := os.MkdirTemp("", "wire")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(); _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s"), l
}

func answering(t *testing.T, answer string) string {
	t.Helper()
	path, l := listenSilent(t)
	go func() {
		peer, err := l.AcceptUnix()
		if err != nil {
			return
		}
		defer peer.Close()
		_, _ = peer.Read(make([]byte, 256))
		_, _ = peer.Write([]byte(answer))
		_ = peer.CloseWrite()
		_, _ = peer.Read(make([]byte, 256))
	}()
	return path
}

// listen is a peer that authenticates and then does what the test does.
func listen(t *testing.T) (string, <-chan *net.UnixConn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "wire")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan *net.UnixConn, 1)
	t.Cleanup(func() { _ = l.Close(); _ = os.RemoveAll(dir) })
	go func() {
		peer, err := l.AcceptUnix()
		if err != nil {
			return
		}
		line := make([]byte, 256)
		for _, answer := range []string{"OK 00\r\n", "AGREE_UNIX_FD\r\n", ""} {
			if _, err := peer.Read(line); err != nil {
				return
			}
			if _, err := peer.Write([]byte(answer)); err != nil {
				return
			}
		}
		accepted <- peer
	}()
	return path, accepted
}
