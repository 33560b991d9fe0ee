// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// logsToJournal is tk with its output in the journal.
func logsToJournal(tk task) task {
	tk.Config["logging"] = []map[string]any{{"driver": "journald"}}
	return tk
}

// journal is what journalctl prints of all that was written so far.
func journal(t *testing.T, args ...string) string {
	t.Helper()
	run(t, "journalctl", "--sync")
	var text, complaint bytes.Buffer
	awaitTrue(t, "the journal cannot be read", func() bool {
		cmd := exec.Command("journalctl", append([]string{"--quiet"}, args...)...)
		text.Reset()
		complaint.Reset()
		cmd.Stdout, cmd.Stderr = &text, &complaint
		err := cmd.Run()
		// It leaves out a file that journald is enlarging at the moment, and says so.
		return complaint.Len() == 0 && err == nil
	})
	return text.String()
}

// journal is what the journal has of the task's output on each stream, which a
// counter's lines tell.
func (j *job) journal() (out, errs string) {
	j.t.Helper()
	var texts [2]strings.Builder
	for line := range strings.Lines(journal(j.t, "-o", "cat", "NOMAD_ALLOC_ID="+j.alloc, "NOMAD_JOB_ID="+j.id, "NOMAD_TASK_NAME=task", "_TRANSPORT=stdout")) {
		b := &texts[0]
		if n, ok := strings.CutPrefix(line, "err "); ok {
			b = &texts[1]
			if !strings.HasSuffix(texts[0].String(), "out "+n) {
				j.t.Fatalf("the order of the two streams is lost at %q", line)
			}
		}
		b.WriteString(line)
	}
	return texts[0].String(), texts[1].String()
}

// TestJournalOutlivesJournald: the journal has each line of a task that writes
// 100 a second once and in order, though journald is restarted and killed.
func TestJournalOutlivesJournald(t *testing.T) {
	j := submit(t, logsToJournal(counter(100)))
	j.await("running")
	pid := j.pid()
	grows := func(t *testing.T) {
		j := j.in(t)
		out, _ := j.journal()
		n := lines(t, out, "out")
		awaitTrue(t, "the journal does not grow", func() bool {
			out, _ := j.journal()
			return lines(t, out, "out") > n+100
		})
		j.sameProcess(pid)
	}
	grows(t)
	t.Run("when it is restarted", func(t *testing.T) {
		run(t, "systemctl", "restart", "systemd-journald")
		grows(t)
	})
	t.Run("when it is killed", func(t *testing.T) {
		// What it has read and not stored dies with it. Here that is nothing.
		sendSignal(t, pid, syscall.SIGSTOP)
		run(t, "journalctl", "--sync")
		before := mainPID(t, "systemd-journald")
		run(t, "systemctl", "kill", "-s", "KILL", "systemd-journald")
		sendSignal(t, pid, syscall.SIGCONT)
		awaitTrue(t, "no other journald comes", func() bool {
			now := show(t, "systemd-journald", "MainPID", "ActiveState")
			return now["ActiveState"] == "active" && now["MainPID"] != fmt.Sprint(before)
		})
		grows(t)
	})
	j.endsWellInJournal()
}

// endsWellInJournal stops a counter and checks all that it ever wrote.
func (j *job) endsWellInJournal() {
	j.t.Helper()
	j.stop()
	if e := j.terminated("complete"); e.Details["exit_code"] != "0" || e.Details["signal"] != "0" {
		j.t.Errorf("it ended with %v", e.Details)
	}
	out, errs := j.journal()
	n := lines(j.t, errs, "err")
	end := fmt.Sprintf("end %d\n", n)
	if !strings.HasSuffix(out, end) || lines(j.t, strings.TrimSuffix(out, end), "out") != n {
		j.t.Errorf("stdout ends with %q, stderr with %q", last(out), last(errs))
	}
	j.t.Logf("%d lines of each stream, each once and in order", n)
}

// TestJournaldIsStopped: PID 1 keeps the sockets between tasks and journald for
// the next journald. When journald is stopped, not restarted, systemd 252 drops
// them, and the next line of the task, a Go program, ends it with SIGPIPE.
func TestJournaldIsStopped(t *testing.T) {
	version, err := strconv.Atoi(strings.Fields(run(t, "systemctl", "--version"))[1])
	if err != nil {
		t.Fatal(err)
	}
	j := submit(t, logsToJournal(counter(100)))
	j.await("running")
	run(t, "systemctl", "stop", "systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-journald.service")
	run(t, "systemctl", "start", "systemd-journald.service")
	if version > 252 {
		j.endsWellInJournal()
		return
	}
	if e := j.terminated("failed"); e.Details["signal"] != "13" {
		t.Errorf("it ended with %v, want SIGPIPE", e.Details)
	}
}

// TestNothingStartsOffTheRecord: while journald is stopped no start is on record, so that
// there is none; what runs can be stopped, and the broker outlives it.
func TestNothingStartsOffTheRecord(t *testing.T) {
	nomad, group := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad")
	api := brokerAs(t, nomad, group)
	runs := sleeper(t, api, raceDirectories(t, nomad, group))
	broker := mainPID(t, brokerService)
	next := &brokerv1.StartUnitRequest{Spec: &brokerv1.UnitSpec{
		Id: rand.Text(), Name: []string{"record"}, Command: hello, Args: []string{"tick"},
		Directories: raceDirectories(t, nomad, group), WorkingDirectory: "/", Resources: &brokerv1.Resources{MemoryMaxBytes: 64 << 20},
		Logging: &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_NONE},
	}}
	start := func() { run(t, "systemctl", "start", "systemd-journald.service") }
	t.Cleanup(func() { driverHealth(t, healthy) }) // the agent may have been restarted: it writes to the journal
	t.Cleanup(start)
	run(t, "systemctl", "stop", "systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-journald.service")
	if _, err := api.StartUnit(t.Context(), next); err == nil || !strings.Contains(err.Error(), "cannot be written to the audit log") {
		t.Errorf("a start is answered: %v", err)
	}
	if _, err := api.StopUnit(t.Context(), &brokerv1.StopUnitRequest{Handle: runs}); err != nil {
		t.Errorf("a stop: %v", err)
	}
	if _, err := api.RemoveUnit(t.Context(), &brokerv1.RemoveUnitRequest{Handle: runs}); err != nil {
		t.Errorf("a removal: %v", err)
	}
	start()
	var unit string
	record := recordAfter(t, func() {
		answer, err := api.StartUnit(t.Context(), next)
		if err != nil {
			t.Fatal(err)
		}
		unit = answer.GetUnit().GetHandle().GetUnit()
		t.Cleanup(func() {
			if _, err := api.RemoveUnit(context.Background(), &brokerv1.RemoveUnitRequest{Handle: answer.GetUnit().GetHandle()}); err != nil {
				t.Error(err)
			}
		})
	}, startAllowed)
	if record["BROKER_UNIT"] != unit {
		t.Errorf("of the start of %s the record is %v", unit, record)
	}
	if now := mainPID(t, brokerService); now != broker {
		t.Errorf("the broker was %d and is %d", broker, now)
	}
}
