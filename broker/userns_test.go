// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/policy"
)

// dialEnv has this program connect to a socket and end.
const dialEnv = "BROKER_TEST_DIAL"

func init() {
	path := os.Getenv(dialEnv)
	if path == "" {
		return
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		os.Exit(1)
	}
	_, _ = conn.Read(make([]byte, 1)) // until the end of the connection
	os.Exit(0)
}

// TestPeerInAUserNamespaceHasItsUIDOfTheHost: whoever calls itself the client, or
// root, in a user namespace of its own is who it is on the host.
func TestPeerInAUserNamespaceHasItsUIDOfTheHost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, called := range []int{0, int(clientUID()), 65534} {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
		cmd.Env = append(os.Environ(), dialEnv+"="+path)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: called, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: called, HostID: os.Getgid(), Size: 1}},
		}
		if err := cmd.Start(); err != nil {
			t.Skipf("this host lets nobody make user namespaces: %v", err)
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		want := policy.Peer{UID: uint32(os.Getuid()), PID: int32(cmd.Process.Pid)}
		if p, err := readPeer(conn); err != nil || p != want {
			t.Errorf("a peer that calls itself uid %d: got %+v, %v; want %+v", called, p, err, want)
		}
		_ = conn.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}
