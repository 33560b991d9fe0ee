// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// What the broker may use under any storm: three quarters of its unit's MemoryMax=,
// half of its TasksMax=, and a sixteenth of its LimitNOFILE=. Bound is how long another request
// and PID 1 may take meanwhile, in a machine that is emulated. Of its records the first
// ones are written, and then so many a second; Journal is how much all are in all.
const (
	stormMemory  = 192 << 10 // in kB
	stormThreads = 64
	stormFDs     = 512
	stormRecords = 500
	stormRate    = 10
	stormJournal = 64 << 20
	stormBound   = 10 * time.Second
)

// TestStorms: whatever the client floods the broker with, it stays small, goes on to
// answer, and so does PID 1. Afterwards it has given all back, and is the same process.
// What is over the budget of a user ends a connection, of which the user has a new one.
func TestStorms(t *testing.T) {
	nomad, group := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad")
	api := brokerAs(t, nomad, group)
	weather(t, "storm", stormsOf(nomad, group, brokerAs(t, nomad, group)), func(ctx context.Context) error {
		for {
			_, err := api.ListUnits(ctx, &brokerv1.ListUnitsRequest{}, grpc.WaitForReady(true))
			if status.Code(err) != codes.Unavailable || ctx.Err() != nil {
				return err
			}
		}
	})
}

// TestStormsOfOthers: neither another client nor a stranger whom the mode of the sockets
// lets in keeps the client from connecting, and from handing descriptors over.
func TestStormsOfOthers(t *testing.T) {
	const second, stranger = 2998, 2999
	nomad, group := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad")
	file := filepath.Join(policyDir, "60-second.hcl")
	t.Cleanup(func() {
		_ = os.Remove(file)
		run(t, "systemctl", "restart", "systemd-brokerd")
		driverHealth(t, healthy)
	})
	must(t, os.WriteFile(file, fmt.Appendf(nil, "version = 1\nclient \"second\" {\n  uid = %d\n  unit_prefix = \"second\"\n"+
		"  slice = \"brokerd-second.slice\"\n  alloc_root = \"/srv/e2e/second\"\n  max_units = 10\n}\n", second), 0o644))
	run(t, "systemctl", "restart", "systemd-brokerd")
	must(t, policyInForce())
	asClient := func(ctx context.Context) error {
		api, closed, err := dialBroker(nomad, group)
		if err != nil {
			return err
		}
		defer closed()
		token, err := handOver(ctx, nomad, group)
		if err != nil {
			return err
		}
		// Without anything else in it, it gives back what was handed over, and is refused.
		spec := &brokerv1.UnitSpec{Logging: &brokerv1.Logging{FdToken: token}}
		if _, err = api.StartUnit(ctx, &brokerv1.StartUnitRequest{Spec: spec}, grpc.WaitForReady(true)); status.Code(err) != codes.InvalidArgument {
			return err
		}
		return nil
	}
	for _, other := range []struct {
		name  string
		uid   int
		kinds []string
	}{
		{"second-client", second, []string{
			"connections", "silent-connections", "half-a-frame", "resets", "streams-that-nobody-reads", "half-messages", "pieces", "elements", "descriptors", "denials",
		}},
		{"stranger", stranger, []string{"connections", "silent-connections", "continuations", "streams-that-nobody-reads"}},
	} {
		kinds := stormsOf(other.uid, group, brokerAs(t, other.uid, group))
		kinds = slices.DeleteFunc(kinds, func(s storm) bool { return !slices.Contains(other.kinds, s.name) })
		if len(kinds) != len(other.kinds) {
			t.Errorf("there are %d storms of the %s, want %q", len(kinds), other.name, other.kinds)
		}
		weather(t, other.name+"-storm", kinds, asClient)
	}
}

// weather has each storm come, and looks at the broker, at PID 1 and at what somebody
// else asks meanwhile.
func weather(t *testing.T, what string, kinds []storm, ask func(ctx context.Context) error) {
	t.Helper()
	must(t, ask(t.Context()))
	pid := mainPID(t, "systemd-brokerd.service")
	for _, storm := range kinds {
		t.Run(what+"/"+storm.name, func(t *testing.T) {
			before, records := usage(t, pid), journaled(t)
			watch := watchBroker(t, pid, ask)
			from := time.Now()
			storm.run(t)
			took := time.Since(from)
			most := watch()
			written, bytes := records()
			name := what + "/" + storm.name
			t.Logf("FIGURE %s/time %.1f s", name, took.Seconds())
			t.Logf("FIGURE %s/rss %.1f MiB", name, float64(most.memory)/1024)
			t.Logf("FIGURE %s/threads %d threads", name, most.threads)
			t.Logf("FIGURE %s/fds %d fds", name, most.fds)
			t.Logf("FIGURE %s/other-request %.2f s", name, most.answer.Seconds())
			t.Logf("FIGURE %s/pid-1 %.2f s", name, most.pid1.Seconds())
			t.Logf("FIGURE %s/journal-records %d records", name, written)
			t.Logf("FIGURE %s/journal-volume %d KiB", name, bytes>>10)
			if most.memory > stormMemory || most.threads > stormThreads || most.fds > stormFDs {
				t.Errorf("the broker used %d kB, %d threads and %d descriptors", most.memory, most.threads, most.fds)
			}
			if most.answer > stormBound || most.pid1 > stormBound || most.answers == 0 {
				t.Errorf("%d other requests took %s at most, PID 1 %s", most.answers, most.answer, most.pid1)
			}
			if written > stormRecords+stormRate*int(took.Seconds()) || bytes > stormJournal {
				t.Errorf("the broker wrote %d records of %d bytes in %s", written, bytes, took)
			}
			givenBack(t, pid, before.fds)
		})
	}
	if now := mainPID(t, "systemd-brokerd.service"); now != pid {
		t.Errorf("the broker was %d and is %d", pid, now)
	}
}

// journaled tells what the broker has written to the journal since.
func journaled(t *testing.T) func() (records, bytes int) {
	t.Helper()
	_, cursor, _ := strings.Cut(run(t, "journalctl", "--quiet", "--lines=0", "--show-cursor"), "-- cursor: ")
	return func() (records, bytes int) {
		run(t, "journalctl", "--sync")
		out, err := exec.Command("journalctl", "--quiet", "--unit=systemd-brokerd.service", "--output=export", "--after-cursor="+cursor).Output()
		if err != nil {
			t.Error(err)
		}
		return strings.Count("\n"+string(out), "\n__CURSOR="), len(out)
	}
}

// load is what the broker uses, and how fast it and PID 1 answer, at worst.
type load struct {
	memory, threads, fds, answers int
	answer, pid1                  time.Duration
}

func usage(t *testing.T, pid int) load {
	t.Helper()
	fields := procStatus(t, pid)
	number := func(name string) int {
		n, err := strconv.Atoi(strings.Fields(fields[name])[0])
		if err != nil {
			t.Error(err)
		}
		return n
	}
	fds, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		t.Error(err)
	}
	return load{memory: number("VmRSS"), threads: number("Threads"), fds: len(fds)}
}

// watchBroker measures until its result is called, which returns the worst.
func watchBroker(t *testing.T, pid int, ask func(ctx context.Context) error) func() load {
	t.Helper()
	var most load
	var wg sync.WaitGroup
	stop := make(chan struct{})
	every := func(f func()) {
		wg.Go(func() {
			for {
				f()
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
	every(func() {
		now := usage(t, pid)
		most.memory, most.threads, most.fds = max(most.memory, now.memory), max(most.threads, now.threads), max(most.fds, now.fds)
	})
	every(func() {
		from := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 3*stormBound)
		defer cancel()
		if err := ask(ctx); err != nil {
			t.Errorf("another request meanwhile: %v", err)
		}
		most.answers++
		most.answer = max(most.answer, time.Since(from))
	})
	every(func() {
		from := time.Now()
		run(t, "busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.DBus.Peer", "Ping")
		most.pid1 = max(most.pid1, time.Since(from))
	})
	end := sync.OnceFunc(func() { close(stop); wg.Wait() })
	t.Cleanup(end)
	return func() load { end(); return most }
}

// givenBack waits until the broker has no more descriptors than before: what nobody
// takes is closed after 30 s.
func givenBack(t *testing.T, pid, before int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	now := usage(t, pid).fds
	for ; now > before+2 && time.Now().Before(deadline); now = usage(t, pid).fds {
		time.Sleep(100 * time.Millisecond) // /proc tells no events
	}
	if now > before+2 {
		t.Errorf("the broker had %d descriptors before, and has %d", before, now)
	}
}
