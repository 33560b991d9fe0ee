// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"errors"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

const (
	apiSocket = "/run/systemd-brokerd/broker.sock"
	fdsSocket = "/run/systemd-brokerd/fds.sock"
)

// TestSocketsTellUsersApart: the mode of the sockets keeps most users out, and
// the broker those whom the mode lets in. That the client itself gets an answer
// the same way proves that the others would have seen one.
func TestSocketsTellUsersApart(t *testing.T) {
	nomad, group, alice := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad"), idOf(t, "-u", "alice")
	tests := []struct {
		name     string
		uid, gid int
		want     syscall.Errno // of connect(2)
		answered bool
	}{
		{"the client is answered", nomad, group, 0, true},
		{"a user outside the group cannot connect", alice, alice, syscall.EACCES, false},
		{"another user of the group is closed on", alice, group, 0, false},
		{"root is closed on", 0, 0, 0, false},
	}
	sockets := []struct {
		name, path string
		kind       int
	}{
		{"calls", apiSocket, syscall.SOCK_STREAM},
		{"descriptors", fdsSocket, syscall.SOCK_SEQPACKET},
	}
	for _, s := range sockets {
		for _, tt := range tests {
			t.Run(s.name+": "+tt.name, func(t *testing.T) {
				answer, err := askAs(tt.uid, tt.gid, s.path, s.kind)
				if tt.want != 0 {
					if !errors.Is(err, tt.want) {
						t.Errorf("connecting gives %v, want %v", err, tt.want)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if tt.answered != (answer != "") {
					t.Errorf("the answer is %q", answer)
				}
			})
		}
	}
}

func idOf(t *testing.T, flag, user string) int {
	t.Helper()
	n, err := strconv.Atoi(run(t, "id", flag, user))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// askAs connects as another user, sends a byte and returns what comes back; an
// empty answer is the end of the connection. Credentials belong to a thread in
// Linux: a thread of its own takes on the user's and ends with the goroutine,
// which never unlocks it.
func askAs(uid, gid int, path string, kind int) (string, error) {
	type result struct {
		answer string
		err    error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		answer, err := "", become(uid, gid)
		if err == nil {
			answer, err = ask(path, kind)
		}
		done <- result{answer, err}
	}()
	r := <-done
	return r.answer, r.err
}

// become changes the user of this thread alone, in contrast to syscall.Setuid.
func become(uid, gid int) error {
	groups := [1]uint32{uint32(gid)}
	for _, call := range [][4]uintptr{
		{syscall.SYS_SETGROUPS, 1, uintptr(unsafe.Pointer(&groups))},
		{syscall.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)},
		{syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
	} {
		if _, _, errno := syscall.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
			return errno
		}
	}
	return nil
}

func ask(path string, kind int) (string, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, kind|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer syscall.Close(fd) //nolint:errcheck // a test's connection
	limit := syscall.NsecToTimeval(int64(patience / time.Nanosecond))
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &limit); err != nil {
		return "", err
	}
	if err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		return "", err
	}
	// The broker may have closed already, which is as good.
	_ = syscall.Sendto(fd, []byte("P"), syscall.MSG_NOSIGNAL, nil)
	buf := make([]byte, 256)
	n, err := syscall.Read(fd, buf)
	if errors.Is(err, syscall.ECONNRESET) {
		return "", nil // closed with our byte unread
	}
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}
