// SPDX-License-Identifier: MPL-2.0

package mounts

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// userNamespace makes a user namespace in which the ids of the disk are those of
// the mapping's user outside. A mount wants its mapping in that form, and a namespace wants a
// process to be made: one that is stopped before its first instruction, and
// killed as soon as the namespace is held.
func userNamespace(of mapping) (*os.File, error) {
	// Only the thread that traces the process stops it from running.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"systemd-brokerd", "version"}, &syscall.ProcAttr{ //nolint:gosec // G204: this program, which never gets to run
		Files: []uintptr{},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: int(of.uid), HostID: int(of.to.UID), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: int(of.gid), HostID: int(of.to.GID), Size: 1}},
			Ptrace:      true,
			Pdeathsig:   syscall.SIGKILL,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("cannot make a user namespace: %w", err)
	}
	ns, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/user")
	_ = syscall.Kill(pid, syscall.SIGKILL)
	var ws syscall.WaitStatus
	for {
		_, werr := syscall.Wait4(pid, &ws, 0, nil)
		if werr == nil && ws.Stopped() || werr == syscall.EINTR {
			continue
		}
		break
	}
	if err != nil {
		return nil, fmt.Errorf("cannot hold a user namespace: %w", err)
	}
	return ns, nil
}
