// SPDX-License-Identifier: MPL-2.0

package mounts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// namespace is a user namespace, held by a process that is stopped before its first
// instruction: a mount wants its mapping in that form, and a namespace wants a process
// to be made. Whoever made it must end it, in the same thread.
type namespace struct {
	*os.File
	pid int
}

// newNamespace makes one that maps nothing yet. The calling goroutine must be locked to
// its thread: only the thread that traces the process stops it from running.
func newNamespace() (*namespace, error) {
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"systemd-brokerd", "version"}, &syscall.ProcAttr{ //nolint:gosec,forbidigo // G204: this program, which never gets to run
		Files: []uintptr{},
		Sys:   &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, Ptrace: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return nil, fmt.Errorf("cannot make a user namespace: %w", err)
	}
	waitFor(pid)
	ns, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/user")
	made := &namespace{ns, pid}
	if err != nil {
		made.end()
		return nil, fmt.Errorf("cannot hold a user namespace: %w", err)
	}
	return made, nil
}

// show lets the ids of the disk be those of the mapping's user outside.
func (n *namespace) show(of mapping) error {
	for file, ids := range map[string][2]uint32{"uid_map": {of.uid, of.to.UID}, "gid_map": {of.gid, of.to.GID}} {
		path := filepath.Join("/proc", strconv.Itoa(n.pid), file)
		if err := os.WriteFile(path, fmt.Appendf(nil, "%d %d 1\n", ids[0], ids[1]), 0); err != nil {
			return fmt.Errorf("cannot set the mapping of a user namespace: %w", err)
		}
	}
	return nil
}

// end kills the process; the namespace goes with the last mount that has its mapping.
func (n *namespace) end() {
	if n.File != nil {
		_ = n.Close()
	}
	_ = syscall.Kill(n.pid, syscall.SIGKILL)
	waitFor(n.pid)
}

// waitFor waits until a process has stopped or ended.
func waitFor(pid int) {
	var ws syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(pid, &ws, 0, nil); err != syscall.EINTR {
			return
		}
	}
}

// loan is a namespace that somebody may use until he gives it back.
type loan struct {
	*namespace
	back chan<- struct{}
}

// namespaces makes user namespaces, one ahead: a start would wait for as long as it
// takes to make a process.
type namespaces struct{ ready chan loan }

// keep has one namespace ready until ctx ends. Where there are none it gives up, and
// borrow says why.
func (s *namespaces) keep(ctx context.Context) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for ctx.Err() == nil {
		ns, err := newNamespace()
		if err != nil {
			return
		}
		back := make(chan struct{})
		select {
		case s.ready <- loan{ns, back}:
			<-back
		case <-ctx.Done():
		}
		ns.end()
	}
}

// borrow returns the namespace that is ready, or a new one. It must be given back.
func (s *namespaces) borrow() (loan, error) {
	select {
	case l := <-s.ready:
		return l, nil
	default:
	}
	made, failed, back := make(chan loan), make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		ns, err := newNamespace()
		if err != nil {
			failed <- err
			return
		}
		made <- loan{ns, back}
		<-back
		ns.end()
	}()
	select {
	case l := <-made:
		return l, nil
	case err := <-failed:
		return loan{}, err
	}
}

func (l loan) giveBack() { close(l.back) }
