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
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", pidfd))
	if err != nil {
		return ""
	}
	pid, ok := pidOf(string(info))
	if !ok {
		return ""
	}
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	// What was read is that of the process only if it still exists.
	if err != nil || unix.PidfdSendSignal(pidfd, 0, nil, 0) != nil {
		return ""
	}
	return systemService(string(groups))
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
