// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What these tests show of log lines is told in docs/logs.md.

// TestLogCollectorDies: Nomad starts a new "nomad logmon" for a running task
// only when the agent starts. Until then the task's output stays in the pipes.
func TestLogCollectorDies(t *testing.T) {
	tk := counter(100)
	tk.KillTimeout = 5 * time.Second
	j := submit(t, tk)
	j.await("running")
	j.awaitLog("out 20\n")
	pid := j.pid()
	restart := func(t *testing.T) {
		run(t, "systemctl", "restart", "nomad.service")
		driverHealth(t, healthy)
	}
	t.Run("a task that writes little goes on", func(t *testing.T) {
		j := j.in(t)
		sendSignal(t, pid, syscall.SIGSTOP)
		j.awaitCollected()
		j.killCollector()
		sendSignal(t, pid, syscall.SIGCONT)
		awaitTrue(t, "the task does not go on", func() bool { return j.inPipe("stdout") > 200 && j.inPipe("stderr") > 200 })
		j.sameProcess(pid)
	})
	t.Run("a task that writes much blocks", func(t *testing.T) {
		j := j.in(t)
		sendSignal(t, pid, syscall.SIGHUP)
		awaitBlocked(t, pid)
		if n := j.inPipe("stdout"); n < 60000 || n > 65536 {
			t.Errorf("it blocks while its pipe holds %d bytes, want 64 KiB", n)
		}
		j.sameProcess(pid)
	})
	t.Run("after a restart of the agent all lines arrive", func(t *testing.T) {
		j := j.in(t)
		restart(t)
		lines(t, j.awaitLog("out 20200\n"), "out")
		lines(t, j.logs("stderr"), "err")
		j.sameProcess(pid)
	})
	t.Run("lines that it had read and not written are lost", func(t *testing.T) {
		j := j.in(t)
		size := func() int64 {
			st, err := os.Stat(j.logFile("task.stdout.0"))
			if err != nil {
				t.Fatal(err)
			}
			return st.Size()
		}
		from := size()
		sendSignal(t, pid, syscall.SIGHUP)
		awaitTrue(t, "the task writes nothing", func() bool { return size() > from+10000 })
		j.killCollector()
		at := size()
		restart(t)
		j.sameProcess(pid)
		awaitTrue(t, "nothing comes any more", func() bool { return size() > at+1000 })
		got := j.logs("stdout")
		got = got[:strings.LastIndex(got, "\n")+1]
		end, err := strconv.Atoi(got[strings.LastIndex(strings.TrimSuffix(got, "\n"), " ")+1 : len(got)-1])
		if err != nil {
			t.Fatalf("the log ends with %q", last(got))
		}
		var b strings.Builder
		for i := 1; i <= end; i++ {
			fmt.Fprintln(&b, "out", i)
		}
		oneGap(t, got, b.String())
	})
	t.Run("a restart of the task brings a new one", func(t *testing.T) {
		j := j.in(t)
		j.killCollector()
		run(t, "nomad", "alloc", "restart", j.alloc)
		j.awaitLog("\nout 1\n")
		pid = j.pid()
	})
	t.Run("a blocked task can be stopped", func(t *testing.T) {
		j := j.in(t)
		j.killCollector()
		sendSignal(t, pid, syscall.SIGHUP)
		awaitBlocked(t, pid)
		j.stop()
		// It would end on SIGTERM, but cannot as long as it hangs in write(2).
		if e := j.terminated("complete"); e.Details["signal"] != "9" {
			t.Errorf("it ended with %v", e.Details)
		}
		if took := j.killTook(); took < 5*time.Second || took > patience {
			t.Errorf("its end took %s, its kill_timeout is 5s", took)
		}
		awaitGone(t, pid)
	})
}

// oneGap checks that got is want without one stretch of at most what a
// collector holds: a read of 32 KiB and a buffer of 64 KiB.
func oneGap(t *testing.T, got, want string) {
	t.Helper()
	lost := len(want) - len(got)
	same := 0
	for same < len(got) && got[same] == want[same] {
		same++
	}
	if lost < 0 || lost > 96<<10 || got[same:] != want[same+lost:] {
		t.Fatalf("%d bytes arrived, %d were written; they differ from byte %d on", len(got), len(want), same)
	}
	t.Logf("the collector took %d bytes with it", lost)
}

// TestLogOfEachRunIsKept: a task that Nomad restarts has all its runs in one
// log, also when the collector is slow and has to catch up at a run's end.
func TestLogOfEachRunIsKept(t *testing.T) {
	const restarts = 3
	j := submit(t, counter(100))
	j.await("running")
	j.awaitLog("out 10\n")
	collector := j.collector()
	for i := range restarts {
		pid := j.pid()
		sendSignal(t, collector, syscall.SIGSTOP)
		j.widenPipes()
		sendSignal(t, pid, syscall.SIGHUP)
		awaitTrue(t, "the task does not write much", func() bool { return j.inPipe("stdout") > 150000 })
		restart := exec.Command("nomad", "alloc", "restart", j.alloc)
		if err := restart.Start(); err != nil {
			t.Fatal(err)
		}
		awaitGone(t, pid)
		time.Sleep(500 * time.Millisecond) // Nomad would start the next run
		sendSignal(t, collector, syscall.SIGCONT)
		if err := restart.Wait(); err != nil {
			t.Fatal(err)
		}
		awaitTrue(t, "the next run writes nothing", func() bool {
			text, err := os.ReadFile(j.logFile("task.stdout.0"))
			return err == nil && strings.Count(string(text), "\nout 10\n") == i+2
		})
	}
	j.stop()
	rest := j.logs("stdout")
	for n := range restarts + 1 {
		text, more, _ := strings.Cut(rest, "end ")
		wrote := lines(t, text, "out")
		if rest = strings.TrimPrefix(more, fmt.Sprintf("%d\n", wrote)); rest == more {
			t.Fatalf("run %d has no end after line %d: %q", n+1, wrote, last(more))
		}
	}
}

// TestLogIsExact: what is not made of lines arrives as it was written.
func TestLogIsExact(t *testing.T) {
	const n = 300000
	j := submit(t, task{Config: command("noise", fmt.Sprint(n))})
	j.await("complete")
	random, noise := rand.New(rand.NewPCG(1, 2)), make([]byte, n)
	for i := range noise {
		if noise[i] = byte(random.Uint32()); noise[i] == '\n' {
			noise[i] = 0
		}
	}
	if got := j.logs("stdout"); sha256.Sum256([]byte(got)) != sha256.Sum256(noise) {
		t.Errorf("of %d bytes without a line end %d arrived, or others", n, len(got))
	}
	if got := j.logs("stderr"); got != strings.Repeat("x", n)+"\n" {
		t.Errorf("of a line of %d letters %d bytes arrived, or others", n, len(got))
	}
}
