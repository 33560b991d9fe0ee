// SPDX-License-Identifier: MPL-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

const tracing = "/sys/kernel/tracing"

// trace counts what a process sends to PID 1 and receives from it, as the kernel
// sees it: system calls on the descriptors of its connection. A system call can hold
// several messages or a part of one; none is none.
type trace struct{ fds map[string]bool }

var calls = []string{"sendmsg", "sendto", "write", "writev", "recvmsg", "recvfrom", "read"}

var onDescriptor = regexp.MustCompile(`sys_([a-z]+)\(fd: ([0-9a-f]+),`)

func startTrace(pid int) (*trace, error) {
	fds, err := sockets(pid)
	if err != nil {
		return nil, err
	}
	threads, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*")
	var ids []string
	for _, th := range threads {
		ids = append(ids, filepath.Base(th))
	}
	for _, w := range [][2]string{
		{"tracing_on", "0"},
		{"trace", ""},
		{"options/event-fork", "1"},
		{"set_event_pid", strings.Join(ids, " ")},
	} {
		if err := os.WriteFile(filepath.Join(tracing, w[0]), []byte(w[1]), 0o600); err != nil {
			return nil, err
		}
	}
	if err := enable(); err != nil {
		return nil, err
	}
	return &trace{fds}, os.WriteFile(filepath.Join(tracing, "tracing_on"), []byte("1"), 0o600)
}

// enable switches the events on, once: what is traced is switched by tracing_on alone. An
// event is switched by changing the kernel's code, at which an emulated machine hangs now
// and then.
var enable = sync.OnceValue(func() error {
	for _, call := range calls {
		file := filepath.Join(tracing, "events/syscalls/sys_enter_"+call, "enable")
		if _, err := os.Stat(file); err != nil {
			continue // Go uses none that is not there
		}
		if err := os.WriteFile(file, []byte("1"), 0o600); err != nil {
			return err
		}
	}
	return nil
})

// stop returns the system calls since startTrace.
func (t *trace) stop() (n int, err error) {
	if err := os.WriteFile(filepath.Join(tracing, "tracing_on"), []byte("0"), 0o600); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(filepath.Join(tracing, "trace"))
	if err != nil {
		return 0, err
	}
	for _, m := range onDescriptor.FindAllStringSubmatch(string(text), -1) {
		if fd, err := strconv.ParseUint(m[2], 16, 32); err == nil && t.fds[strconv.FormatUint(fd, 10)] {
			n++
		}
	}
	return n, nil
}
