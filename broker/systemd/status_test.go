// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/systemd/fakepid1"
)

func TestStatusReadsEveryField(t *testing.T) {
	pid1 := fakepid1.New(t)
	c := dialFake(t, pid1, nil)
	pid1.Add(testUnit, map[string]any{
		"ActiveState":            "failed",
		"SubState":               "failed",
		"InvocationID":           []byte("0123456789abcdef"),
		"Result":                 "oom-kill",
		"MainPID":                uint32(0),
		"ExecMainPID":            uint32(4711),
		"ExecMainCode":           CodeKilled,
		"ExecMainStatus":         int32(9),
		"ExecMainStartTimestamp": uint64(1_700_000_000_000_001),
		"ExecMainExitTimestamp":  uint64(1_700_000_001_000_000),
		"ControlGroup":           "/brokerd-nomad.slice/x",
		"UID":                    uint32(100001),
		"LogExtraFields":         [][]byte{[]byte("NOMAD_TASK=web=1"), []byte("EMPTY=")},
	})
	got, err := c.Status(testContext(t), testUnit)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.LogExtraFields) != 2 || got.LogExtraFields["NOMAD_TASK"] != "web=1" || got.LogExtraFields["EMPTY"] != "" {
		t.Errorf("got fields %q", got.LogExtraFields)
	}
	if !got.StartedAt.Equal(time.UnixMicro(1_700_000_000_000_001)) || !got.ExitedAt.Equal(time.Unix(1_700_000_001, 0)) {
		t.Errorf("got times %v, %v", got.StartedAt, got.ExitedAt)
	}
	got.LogExtraFields, got.StartedAt, got.ExitedAt = nil, time.Time{}, time.Time{}
	want := Status{
		Unit: testUnit, LoadState: LoadLoaded, ActiveState: Failed, SubState: "failed",
		InvocationID: "30313233343536373839616263646566", Result: ResultOOMKill,
		ExecMainPID: 4711, ExecMainCode: CodeKilled, ExecMainStatus: 9,
		ControlGroup: "/brokerd-nomad.slice/x", UID: 100001,
	}
	if !equalStatus(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// equalStatus compares all but the map.
func equalStatus(a, b Status) bool {
	a.LogExtraFields, b.LogExtraFields = nil, nil
	return a.Unit == b.Unit && a.LoadState == b.LoadState && a.ActiveState == b.ActiveState && a.SubState == b.SubState &&
		a.InvocationID == b.InvocationID && a.Result == b.Result && a.MainPID == b.MainPID && a.ExecMainPID == b.ExecMainPID &&
		a.ExecMainCode == b.ExecMainCode && a.ExecMainStatus == b.ExecMainStatus && a.StartedAt.Equal(b.StartedAt) &&
		a.ExitedAt.Equal(b.ExitedAt) && a.ControlGroup == b.ControlGroup && a.UID == b.UID
}

func TestStatusRefusesWhatItDoesNotExpect(t *testing.T) {
	tests := []struct {
		name, property string
		value          any
	}{
		{"a state that is a number", "ActiveState", uint32(1)},
		{"a load state that is a path", "LoadState", dbus.ObjectPath("/loaded")},
		{"an exit status without sign", "ExecMainStatus", uint32(0)},
		{"a short time", "ExecMainExitTimestamp", uint32(0)},
		{"a time beyond time", "ExecMainExitTimestamp", ^uint64(0)},
		{"a uid with a sign", "UID", int32(0)},
		{"an invocation id of three bytes", "InvocationID", []byte{1, 2, 3}},
		{"an invocation id that is text", "InvocationID", "00"},
		{"log fields that are strings", "LogExtraFields", []string{"A=b"}},
		{"a log field without a value", "LogExtraFields", [][]byte{[]byte("A")}},
		{"a log field given twice", "LogExtraFields", [][]byte{[]byte("A=b"), []byte("A=c")}},
		{"a job without a path", "Job", struct{ ID uint32 }{1}},
		{"a job whose id is text", "Job", struct {
			ID   string
			Path dbus.ObjectPath
		}{"1", "/"}},
	}
	covered := map[string]bool{}
	for _, test := range tests {
		covered[test.property] = true
		t.Run(test.name, func(t *testing.T) { refuses(t, test.property, test.value) })
	}
	for _, f := range fields {
		if !covered[f.name] {
			t.Run("a "+f.name+" that is a boolean", func(t *testing.T) { refuses(t, f.name, true) })
		}
	}
}

func TestStatusRefusesAnAnswerWithoutAField(t *testing.T) {
	for _, f := range fields {
		values := goodValues()
		delete(values, f.name)
		if d, err := decodeDetails(testUnit, values); err == nil || !strings.Contains(err.Error(), f.name) {
			t.Errorf("without %s: got %+v, %v", f.name, d, err)
		}
	}
}

// TestTheStateOfAUnitIsOneAnswer: what PID 1 says in several answers can be of several
// moments, and each of them costs.
func TestTheStateOfAUnitIsOneAnswer(t *testing.T) {
	pid1 := fakepid1.New(t)
	pid1.Add(testUnit, nil)
	c := dialFake(t, pid1, nil)
	for _, test := range []struct {
		name  string
		read  func(context.Context, string) (Status, error)
		calls []string
	}{
		{"a unit that may be gone", c.Status, []string{"GetUnit", "GetAll"}},
		{"a unit that was listed", c.StatusListed, []string{"GetAll"}},
	} {
		before := len(pid1.Calls(""))
		if s, err := test.read(testContext(t), testUnit); err != nil || s.ActiveState != Active {
			t.Errorf("%s: got %+v, %v", test.name, s, err)
		}
		var calls []string
		for _, call := range pid1.Calls("")[before:] {
			calls = append(calls, call.Member)
		}
		if !slices.Equal(calls, test.calls) {
			t.Errorf("%s: PID 1 was asked for %v, want %v", test.name, calls, test.calls)
		}
		if s, err := test.read(testContext(t), "gone.service"); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s, which is gone: got %+v, %v", test.name, s, err)
		}
	}
}

func refuses(t *testing.T, property string, value any) {
	t.Helper()
	pid1 := fakepid1.New(t)
	c := dialFake(t, pid1, nil)
	pid1.Add(testUnit, map[string]any{property: value})
	s, err := c.Status(testContext(t), testUnit)
	if err == nil {
		t.Fatalf("got %+v, want an error", s)
	}
	if !strings.Contains(err.Error(), property) && property != "Job" {
		t.Errorf("error %q does not name %s", err, property)
	}
	if !equalStatus(s, Status{}) {
		t.Errorf("got %+v beside the error", s)
	}
}

func TestStatusOfAUnitThatVanishesHalfWay(t *testing.T) {
	pid1 := fakepid1.New(t)
	c := dialFake(t, pid1, nil)
	// GetUnit still finds it, the properties are those of a unit that is gone.
	pid1.Add(testUnit, map[string]any{"LoadState": "not-found"})
	if _, err := c.Status(testContext(t), testUnit); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}
