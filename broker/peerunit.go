// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// peerUnit is the system service in which the process runs that connected, or an
// empty string if that cannot be told for certain: the kernel must hold on to the
// process itself (SO_PEERPIDFD, Linux 6.5), for a pid may be another's by now.
func peerUnit(socket int) string {
	pidfd, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	if err != nil {
		return ""
	}
	defer unix.Close(pidfd) //nolint:errcheck // nothing was written
	return systemService(groupsOf(pidfd, readPID))
}

// TellsPeerUnit is whether the kernel tells which process has connected.
func TellsPeerUnit() bool {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(pair[0]) //nolint:errcheck // nothing was written
	defer unix.Close(pair[1]) //nolint:errcheck // nothing was written
	pidfd, err := unix.GetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	if err == nil {
		_ = unix.Close(pidfd)
	}
	return err == nil
}

// groupsOf is /proc/PID/cgroup of the process that pidfd holds; empty if it is gone.
// The pid is read again after the file: while it is the process's, it is nobody
// else's. Sending signal 0 would tell as well, but takes CAP_KILL.
func groupsOf(pidfd int, read func(pidfd int) (int, bool)) string {
	pid, ok := read(pidfd)
	if !ok {
		return ""
	}
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if still, ok := read(pidfd); err != nil || !ok || still != pid {
		return ""
	}
	return string(groups)
}

func readPID(pidfd int) (int, bool) {
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", pidfd))
	if err != nil {
		return 0, false
	}
	return pidOf(string(info))
}

// pidOf reads the pid of a pidfd; those of processes that have ended have none.
func pidOf(fdinfo string) (int, bool) {
	for line := range strings.Lines(fdinfo) {
		if rest, ok := strings.CutPrefix(line, "Pid:"); ok {
			pid, err := strconv.Atoi(strings.TrimSpace(rest))
			return pid, err == nil && pid > 0
		}
	}
	return 0, false
}

// systemService is the service of the system's own manager in /proc/PID/cgroup:
// the first part of the path that is no slice. What follows it the service, such
// as a user's manager, named itself.
func systemService(groups string) string {
	path, ok := strings.CutPrefix(strings.TrimSuffix(groups, "\n"), "0::/")
	if !ok || strings.Contains(path, "\n") {
		return ""
	}
	for part := range strings.SplitSeq(path, "/") {
		if strings.HasSuffix(part, ".slice") {
			continue
		}
		if strings.HasSuffix(part, ".service") {
			return part
		}
		return ""
	}
	return ""
}
