// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"encoding/binary"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// seqpacket is a connected pair of the kind that descriptors are handed over on.
func seqpacket(t testing.TB) (client, server *net.UnixConn) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range pair {
		f := os.NewFile(uintptr(fd), "")
		conn, err := net.FileConn(f)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = conn.(*net.UnixConn)
	}
	return conns[0], conns[1]
}

// FuzzHandOver: whatever a client sends, and however many descriptors with it, none
// stays open that is not kept, and what is kept is a token with two or three.
func FuzzHandOver(f *testing.F) {
	f.Add([]byte(strings.Repeat("a", tokenBytes)), 2)
	f.Add([]byte(strings.Repeat("a", tokenBytes)), 3)
	f.Add([]byte(strings.Repeat("A", tokenBytes)), 2)
	f.Add([]byte(strings.Repeat("a", tokenBytes+1)), 2)
	f.Add([]byte("a"), 0)
	f.Add([]byte{}, 4)
	f.Add([]byte(strings.Repeat("0", tokenBytes)), 250)
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = unix.Close(null) })
	f.Fuzz(func(t *testing.T, message []byte, n int) {
		n = max(0, min(n, 253)) // SCM_MAX_FD
		client, server := seqpacket(t)
		defer client.Close()
		defer server.Close()
		fds := make([]int, n)
		for i := range fds {
			fds[i] = null
		}
		var oob []byte
		if n > 0 {
			oob = unix.UnixRights(fds...)
		}
		if len(message) == 0 {
			message = []byte{0} // package net would send that, too
		}
		message = message[:min(len(message), 4096)]
		if _, _, err := client.WriteMsgUnix(message, oob, nil); err != nil {
			t.Fatal(err)
		}
		before := lowest(t)
		token, got, err := receive(server)
		if err != nil {
			if now := lowest(t); now != before {
				t.Fatalf("refused (%v), and descriptor %d is open still", err, before)
			}
			return
		}
		if len(got) != logFDs && len(got) != sessionFDs || len(got) != n || token != string(message) {
			t.Fatalf("got %q and %d descriptors of %q and %d", token, len(got), message, n)
		}
		for _, fd := range got {
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("descriptor %d outlives an execve(2): %v", fd, err)
			}
		}
		got.close()
		if now := lowest(t); now != before {
			t.Fatalf("descriptor %d is open still", before)
		}
	})
}

// lowest is the lowest descriptor that is free.
func lowest(t *testing.T) int {
	t.Helper()
	fd, err := unix.FcntlInt(uintptr(2), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
	return fd
}

// FuzzRights: control messages that the kernel would not make are an error, and no
// descriptors of ours.
func FuzzRights(f *testing.F) {
	f.Add(unix.UnixRights())
	f.Add([]byte{})
	short := binary.NativeEndian.AppendUint64(nil, 1<<40)
	f.Add(short)
	f.Add(append(binary.NativeEndian.AppendUint64(nil, 16), 1, 0, 0, 0, 2, 0, 0, 0))
	f.Fuzz(func(t *testing.T, oob []byte) {
		// Numbers of descriptors that are not open: what is read is closed.
		for i := 16; i+4 <= len(oob); i += 4 {
			oob[i+3] |= 0x40
		}
		fds, err := parseRights(oob)
		if len(fds)*4 > len(oob) {
			t.Errorf("%d bytes are %d descriptors (%v)", len(oob), len(fds), err)
		}
	})
}
