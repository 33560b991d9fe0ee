// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// crashing is the broker built with the tag crashpoint, and armed the file in which
// it finds the step at which it is to die.
const (
	crashing = "/payload/systemd-brokerd-crash"
	armed    = "/run/systemd-brokerd/crashpoint"
)

// TestBrokerDiesAtEachStep: whichever step of a start, a stop, a removal or the
// mounts the broker dies at, a client that asks again gets what it asked for, the
// unit is there once while it is to be, and nothing of it afterwards.
func TestBrokerDiesAtEachStep(t *testing.T) {
	for unit, verb := range map[string]string{"systemd-brokerd.service": "serve", "systemd-brokerd-mounts.service": "mounts"} {
		dropIn(t, unit, "ExecStart=\nExecStart="+crashing+" "+verb)
	}
	t.Cleanup(func() { _ = os.Remove(armed) })
	nomad, group := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad")
	dirs := raceDirectories(t, nomad, group)
	api := brokerAs(t, nomad, group)
	deaths := 0
	for _, step := range []string{
		"start/decided", "start/reserved", "start/root", "start/files", "start/opened", "start/staged", "start/request", "start/executed",
		"start/run", "start/recorded",
		"mounts/directory", "mounts/opened", "mounts/mapped", "mounts/target", "mounts/moved", "mounts/unmounted",
		"stop/found", "stop/begun", "stop/signalled", "stop/killed", "stop/stopped",
		"remove/found", "remove/step", "remove/request", "remove/root", "remove/removed",
	} {
		t.Run(step, func(t *testing.T) {
			if err := os.WriteFile(armed, []byte(step), 0o600); err != nil {
				t.Fatal(err)
			}
			h := lives(t, api, dirs)
			if _, err := os.Stat(armed); !errors.Is(err, os.ErrNotExist) {
				t.Error("the broker was never there, so that this shows nothing")
			} else {
				deaths++
			}
			nothingOf(t, h.GetUnit())
		})
	}
	t.Logf("FIGURE crash/steps %d steps", deaths)
}

// lives starts, stops and removes a unit, each as often as it takes.
func lives(t *testing.T, api brokerv1.BrokerServiceClient, dirs *brokerv1.Directories) *brokerv1.Handle {
	t.Helper()
	spec := &brokerv1.UnitSpec{
		Id: rand.Text(), Name: []string{"crash"}, Command: hello, Args: []string{"ignore-term"},
		Directories: dirs, WorkingDirectory: "/", Resources: &brokerv1.Resources{MemoryMaxBytes: 64 << 20},
		Logging: &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_NONE},
	}
	var unit *brokerv1.Unit
	asked(t, "the start", func(ctx context.Context, ready grpc.CallOption) error {
		resp, err := api.StartUnit(ctx, &brokerv1.StartUnitRequest{Spec: spec}, ready)
		unit = resp.GetUnit()
		return err
	})
	var known []string
	for _, name := range units(t) {
		if strings.HasPrefix(name, "nomad-crash-") {
			known = append(known, name)
		}
	}
	if len(known) != 1 || known[0] != unit.GetHandle().GetUnit() {
		t.Errorf("the units are %q, want %s alone", known, unit.GetHandle().GetUnit())
	}
	if state := show(t, unit.GetHandle().GetUnit(), "ActiveState")["ActiveState"]; state != "active" {
		t.Errorf("the broker says that it runs, and systemd that it is %s", state)
	}
	asked(t, "the stop", func(ctx context.Context, ready grpc.CallOption) error {
		_, err := api.StopUnit(ctx, &brokerv1.StopUnitRequest{Handle: unit.GetHandle(), GracePeriod: durationpb.New(100 * time.Millisecond)}, ready)
		return err
	})
	asked(t, "the removal", func(ctx context.Context, ready grpc.CallOption) error {
		_, err := api.RemoveUnit(ctx, &brokerv1.RemoveUnitRequest{Handle: unit.GetHandle()}, ready)
		return err
	})
	return unit.GetHandle()
}

// asked repeats a call while the broker is away.
func asked(t *testing.T, what string, call func(context.Context, grpc.CallOption) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := call(ctx, grpc.WaitForReady(true))
		if err == nil {
			return
		}
		if status.Code(err) != codes.Unavailable || ctx.Err() != nil {
			t.Fatalf("%s: %v", what, err)
		}
		t.Logf("%s, asked again after: %v", what, err)
	}
}

// nothingOf fails the test if there is anything of a unit that was removed.
func nothingOf(t *testing.T, unit string) {
	t.Helper()
	for _, name := range units(t) {
		if name == unit {
			t.Errorf("systemd still has %s", unit)
		}
	}
	var left []string
	for _, dir := range []string{"systemd-brokerd/starts", "systemd-brokerd/roots", "systemd-brokerd/requests", "host/systemd-brokerd"} {
		found, _ := filepath.Glob("/run/" + dir + "/" + unit + "*")
		left = append(left, found...)
	}
	if left = append(left, leftBehind(strings.TrimPrefix(unit, "nomad-"))...); len(left) > 0 {
		t.Errorf("there are still %q", left)
	}
	for _, pid := range []string{"1", "self"} {
		mounted, err := os.ReadFile("/proc/" + pid + "/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(mounted), unit) {
			t.Errorf("something is still mounted for %s in the view of process %s", unit, pid)
		}
	}
}
