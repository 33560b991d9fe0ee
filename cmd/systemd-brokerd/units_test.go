// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"nomad-systemd-driver/broker/inspect"
	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
)

func testUnits(at time.Time, cpu float64) []inspect.Unit {
	return []inspect.Unit{
		{
			Name: "nomad-web-1.service", Client: "nomad", State: "running", UID: new(uint32(61001)),
			Labels: map[string]string{"JOB_ID": "shop", "TASK_NAME": "web"},
			Usage:  &inspect.Usage{At: at, CPUSeconds: &cpu, MemoryBytes: new(uint64(3 << 20)), Tasks: new(uint64(4))},
		},
		{
			Name: "nomad-job-2.service", Client: "nomad", State: "exited", Exit: &inspect.Exit{Code: 3, Result: "exit-code"},
			Labels: map[string]string{"JOB_ID": "shop", "TASK_NAME": "job"},
		},
	}
}

func TestUnitsAreShownAsATable(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	before, now := testUnits(start, 1), testUnits(start.Add(2*time.Second), 1.5)
	tests := []struct {
		name   string
		before []inspect.Unit
		cpu    string
	}{
		{"once, with the time used", nil, "1.5s"},
		{"again, with the share of a processor", before, "25.0%"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := showUnits(&out, now, test.before, false, false); err != nil {
				t.Fatal(err)
			}
			want := "CLIENT JOB TASK UID STATE CPU MEMORY TASKS UNIT" +
				" nomad shop web 61001 running " + test.cpu + " 3.0MiB 4 nomad-web-1.service" +
				" nomad shop job - exited 3 - - - nomad-job-2.service"
			if got := strings.Join(strings.Fields(out.String()), " "); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestUnitsWatchedClearTerminalsOnly: what goes into a file is text.
func TestUnitsWatchedClearTerminalsOnly(t *testing.T) {
	t.Setenv("TERM", "xterm")
	var out bytes.Buffer
	if err := showUnits(&out, nil, nil, false, true); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Contains(got, "\x1b") || !strings.HasSuffix(got, "\n\n") {
		t.Errorf("a file gets %q", got)
	}
	tty := terminal(t)
	master := make([]byte, 256)
	if err := showUnits(tty.File, nil, nil, false, true); err != nil {
		t.Fatal(err)
	}
	n, err := tty.master.Read(master)
	if err != nil || !strings.HasPrefix(string(master[:n]), clearScreen) {
		t.Errorf("a terminal gets %q, %v", master[:n], err)
	}
}

func TestUnitsAsJSON(t *testing.T) {
	var out bytes.Buffer
	if err := showUnits(&out, testUnits(time.Unix(0, 0), 1), nil, true, true); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("with --watch it is %d lines, want one", n)
	}
	var got []inspect.Unit
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || len(got) != 2 || *got[0].Usage.MemoryBytes != 3<<20 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestHowAUnitEndedIsSaid(t *testing.T) {
	tests := []struct {
		exit *inspect.Exit
		want string
	}{
		{nil, "exited"},
		{&inspect.Exit{Result: "success"}, "exited 0"},
		{&inspect.Exit{Code: 7, Result: "exit-code"}, "exited 7"},
		{&inspect.Exit{Signal: 9, Result: "signal"}, "killed by SIGKILL"},
		{&inspect.Exit{Signal: 9, OOM: true, Result: "oom-kill"}, "killed (out of memory)"},
		{&inspect.Exit{Result: "timeout"}, "exited (timeout)"},
	}
	for _, test := range tests {
		if got := stateText(&inspect.Unit{State: "exited", Exit: test.exit}); got != test.want {
			t.Errorf("%+v: got %q, want %q", test.exit, got, test.want)
		}
	}
}

func TestBytesAreShownInTheNearestUnit(t *testing.T) {
	for n, want := range map[uint64]string{0: "0B", 1023: "1023B", 1024: "1.0KiB", 1536 << 10: "1.5MiB", 5 << 40: "5.0TiB", 5000 << 40: "5000.0TiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestStatusNamesClientsOutsideThePolicy(t *testing.T) {
	o := &overall{Healthy: true, Broker: &inspect.Daemon{State: systemd.Active, PID: 5, Text: "Policy 0 in force."}}
	o.count([]inspect.Unit{
		{Client: "nomad"},
		{Client: "nomad", Exit: &inspect.Exit{}},
		{Client: "nomad", SessionOf: "x"},
		{Client: "gone"},
	})
	o.addClients([]*policy.Client{{Name: "nomad", MaxUnits: 9}})
	var out bytes.Buffer
	if err := o.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"nomad: 1 running, 1 exited, 1 sessions; at most 9 units\n", "gone: 1 running, 0 exited; not a client of the policy\n", "active, pid 5\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}
