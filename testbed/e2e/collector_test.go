// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// counter is a task that numbers rate lines a second on each stream; on SIGHUP
// it adds 20000, on SIGTERM it says "end".
func counter(rate int) task {
	return task{Type: "service", Config: command("count", strconv.Itoa(rate)), KillTimeout: 30 * time.Second}
}

// in is j for a subtest.
func (j *job) in(t *testing.T) *job { return &job{t, j.id, j.alloc} }

// lines checks that text is word 1, word 2 and so on, each on a line of its own
// that is neither missing nor doubled nor cut, and returns the last number.
// The last line may still be on its way.
func lines(t *testing.T, text, word string) int {
	t.Helper()
	n := 0
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		if want := fmt.Sprintf("%s %d\n", word, n+1); line != want {
			t.Fatalf("after line %d comes %q, want %q", n, line, want)
		}
		n++
	}
	return n
}

// endsWell stops a counter and checks all that it ever wrote.
func (j *job) endsWell() {
	j.t.Helper()
	j.stop()
	if e := j.terminated("complete"); e.Details["exit_code"] != "0" || e.Details["signal"] != "0" {
		j.t.Errorf("it ended with %v", e.Details)
	}
	out, errs := j.logs("stdout"), j.logs("stderr")
	n := lines(j.t, errs, "err")
	end := fmt.Sprintf("end %d\n", n)
	if !strings.HasSuffix(out, end) || !strings.HasSuffix(errs, "\n") {
		j.t.Errorf("stderr ends with %q, stdout with %q", last(errs), last(out))
	}
	if m := lines(j.t, strings.TrimSuffix(out, end), "out"); m != n {
		j.t.Errorf("stdout has %d lines, stderr %d", m, n)
	}
	j.t.Logf("%d lines on each stream, each once and in order", n)
}

// last is the end of a long text.
func last(text string) string { return text[max(0, len(text)-50):] }

// sameProcess fails the test unless the task is still the process pid.
func (j *job) sameProcess(pid int) {
	j.t.Helper()
	if now := j.pid(); now != pid {
		j.t.Errorf("process %d became %d", pid, now)
	}
}

// logFile is a file in the task's directory of logs.
func (j *job) logFile(name string) string {
	return "/var/lib/nomad/alloc/" + j.alloc + "/alloc/logs/" + name
}

// collector is the process that writes the task's log files, "nomad logmon". It
// is the one besides the task that has the FIFO open.
func (j *job) collector() int {
	j.t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		j.t.Fatal(err)
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != j.logFile(".task.stdout.fifo") {
			continue
		}
		dir := filepath.Dir(filepath.Dir(link))
		if cmdline, err := os.ReadFile(dir + "/cmdline"); err == nil && strings.Contains(string(cmdline), "\x00logmon\x00") {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			return pid
		}
	}
	j.t.Fatal("nobody collects the task's log")
	return 0
}

// killCollector kills the collector and waits until it is gone.
func (j *job) killCollector() {
	j.t.Helper()
	pid := j.collector()
	sendSignal(j.t, pid, syscall.SIGKILL)
	awaitGone(j.t, pid)
}

// awaitCollected waits until all that the task has written, which writes nothing more, is
// in its log files: nothing is in the pipes, and the collector, which flushes what it
// holds every 100 ms, has run for some time without writing any of it.
func (j *job) awaitCollected() {
	j.t.Helper()
	pid := j.collector()
	size, runs := int64(-1), 0
	awaitTrue(j.t, "the collector has not written all", func() bool {
		now := int64(j.inPipe("stdout") + j.inPipe("stderr"))
		if now > 0 {
			return false
		}
		for _, name := range []string{"task.stdout.0", "task.stderr.0"} {
			info, err := os.Stat(j.logFile(name))
			if err != nil {
				j.t.Fatal(err)
			}
			now += info.Size()
		}
		if now != size {
			size, runs = now, timeslices(j.t, pid)
		}
		return timeslices(j.t, pid) > runs+50
	})
}

// timeslices is how often threads of the process have run on a CPU
// (Documentation/scheduler/sched-stats.rst of the kernel).
func timeslices(t *testing.T, pid int) int {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("process %d has no threads: %v", pid, err)
	}
	all := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		var onCPU, waiting uint64
		var n int
		if _, err := fmt.Sscan(string(text), &onCPU, &waiting, &n); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all += n
	}
	return all
}

func sendSignal(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatalf("cannot send signal %d to process %d: %v", s, pid, err)
	}
}

// inPipe is the number of bytes that wait in one of the task's log FIFOs.
func (j *job) inPipe(stream string) int {
	j.t.Helper()
	// To open it for both neither waits nor takes anything.
	fd, err := unix.Open(j.logFile(".task."+stream+".fifo"), unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		j.t.Fatal(err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	if err != nil {
		j.t.Fatal(err)
	}
	return n
}

// widenPipes makes the task's log FIFOs hold 1 MiB.
func (j *job) widenPipes() {
	j.t.Helper()
	for _, stream := range []string{"stdout", "stderr"} {
		fd, err := unix.Open(j.logFile(".task."+stream+".fifo"), unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			j.t.Fatal(err)
		}
		defer unix.Close(fd) //nolint:errcheck // nothing was written
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, 1<<20); err != nil {
			j.t.Fatal(err)
		}
	}
}

// awaitTrue waits for something of the kernel's that sends no event.
func awaitTrue(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s: %s", patience, what)
		}
	}
}

// awaitBlocked waits until the process is in write(2) to standard output or
// error, and stays there.
func awaitBlocked(t *testing.T, pid int) {
	t.Helper()
	since := time.Now()
	awaitTrue(t, "the task does not block", func() bool {
		if !inWrite(t, pid) {
			since = time.Now()
		}
		return time.Since(since) > time.Second
	})
}

func inWrite(t *testing.T, pid int) bool {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("the task has died: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(text), "1 0x1 ") || strings.HasPrefix(string(text), "1 0x2 ") {
			return true
		}
	}
	return false
}
