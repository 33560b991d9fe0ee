// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSystemService(t *testing.T) {
	for groups, want := range map[string]string{
		"0::/system.slice/nomad.service\n":                                     "nomad.service",
		"0::/a.slice/a-b.slice/nomad.service/sub/x.service\n":                  "nomad.service",
		"0::/user.slice/user-1.slice/user@1.service/app.slice/nomad.service\n": "user@1.service",
		"0::/user.slice/user-1.slice/session-1.scope/nomad.service\n":          "",
		"0::/init.scope\n": "",
		"0::/\n":           "",
		"":                 "",
		"1:name=systemd:/system.slice/nomad.service\n0::/system.slice/other.service": "",
		"0::/../nomad.service\n":                               "",
		"0::/system.slice/x\n0::/system.slice/nomad.service\n": "",
	} {
		if got := systemService(groups); got != want {
			t.Errorf("%q: got %q, want %q", groups, got, want)
		}
	}
}

func TestPidOfPidfd(t *testing.T) {
	for text, want := range map[string]int{"pos:\t0\nPid:\t42\nNSpid:\t42\n": 42, "Pid:\t-1\n": 0, "Pid:\t0\n": 0, "pos:\t0\n": 0, "": 0, "Pid: x\n": 0} {
		if pid, ok := pidOf(text); ok != (want > 0) || ok && pid != want {
			t.Errorf("%q: got %d, %v", text, pid, ok)
		}
	}
}

func FuzzSystemService(f *testing.F) {
	f.Add("0::/system.slice/nomad.service\n")
	f.Fuzz(func(t *testing.T, groups string) {
		if s := systemService(groups); strings.ContainsAny(s, "/\n") || s != "" && !strings.HasSuffix(s, ".service") {
			t.Errorf("%q: got %q", groups, s)
		}
	})
}

func TestPeerUnitIsEmptyInDoubt(t *testing.T) {
	file, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, fd := range map[string]int{"nothing": -1, "no socket": int(file.Fd())} {
		if got := peerUnit(fd); got != "" {
			t.Errorf("of %s: %q", name, got)
		}
	}
}

func TestPeerUnitOfASocketIsThatOfTheProcess(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0]) //nolint:errcheck // a test's socket
	defer unix.Close(pair[1]) //nolint:errcheck // a test's socket
	pidfd, err := unix.GetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	if err != nil {
		t.Skipf("the kernel does not tell: %v", err)
	}
	defer unix.Close(pidfd) //nolint:errcheck // a test's descriptor
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if got := groupsOf(pidfd, readPID); got != string(own) {
		t.Errorf("got %q, want %q", got, own)
	}
	if got, want := peerUnit(pair[0]), systemService(string(own)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProcessThatEndsWhileItIsReadHasNoGroups(t *testing.T) {
	child := exec.Command("cat")
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(child.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd) //nolint:errcheck // a test's descriptor
	if groupsOf(pidfd, readPID) == "" {
		t.Error("a process that lives has no groups")
	}
	reads := 0
	got := groupsOf(pidfd, func(fd int) (int, bool) {
		if reads++; reads == 2 {
			_ = stdin.Close()
			_ = child.Wait()
		}
		return readPID(fd)
	})
	if got != "" || reads != 2 {
		t.Errorf("got %q of a process that ended between %d reads", got, reads)
	}
}
