// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// TestHostileStringsAcrossReload: PID 1 writes a unit to a file, and reads it again at
// a daemon-reload. Whatever text the broker takes from a request arrives as it is, and
// changes nothing of the unit then.
func TestHostileStringsAcrossReload(t *testing.T) {
	uid, gid := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad")
	api, dirs := brokerAs(t, uid, gid), raceDirectories(t, uid, gid)
	t.Cleanup(func() { _ = os.RemoveAll(hostileVolumes) })
	makeProgramOrDirectory(t, dirs.GetLocal()+"/task", true)
	var specs []*brokerv1.UnitSpec // each with a few texts in every place
	refused, taken := 0, 0
	for _, p := range places {
		if !allowed(t, api, p.with(newSpec(dirs), "plain")) {
			t.Errorf("not even a plain %s is taken, so that nothing is shown of it", p.name)
		}
		good := slices.DeleteFunc(slices.Clone(hostile), func(x string) bool { return !allowed(t, api, p.with(newSpec(dirs), x)) })
		refused, taken = refused+len(hostile)-len(good), taken+len(good)
		t.Logf("%s: %d taken, %d refused", p.name, len(good), len(hostile)-len(good))
		for n, texts := range slices.Collect(slices.Chunk(good, p.most)) {
			if n == len(specs) {
				specs = append(specs, newSpec(dirs))
			}
			if p.file != nil {
				makeProgramOrDirectory(t, p.file(newSpec(dirs), texts[0]), p.name == "command")
			}
			p.with(specs[n], texts...)
		}
	}
	before := make(map[string][]string)
	for _, spec := range specs {
		unit := started(t, api, spec)
		before[unit] = lasting(t, unit)
		arrived(t, unit, spec)
	}
	run(t, "systemctl", "daemon-reload")
	for unit, was := range before {
		for _, line := range changed(was, lasting(t, unit)) {
			t.Errorf("%s: of before and after the reload only one has %q", unit, line)
		}
	}
	t.Logf("of %d hostile strings in each of %d places %d of %d are refused, and %d are the same after a daemon-reload, in %d units",
		len(hostile), len(places), refused, refused+taken, taken, len(specs))
}

// started is the name of the unit of a request. It is removed at the test's end.
func started(t *testing.T, api brokerv1.BrokerServiceClient, spec *brokerv1.UnitSpec) string {
	t.Helper()
	resp, err := api.StartUnit(t.Context(), &brokerv1.StartUnitRequest{Spec: spec})
	if err != nil {
		t.Fatalf("%v\nrequest: %v", err, spec)
	}
	t.Cleanup(func() {
		if _, err := api.RemoveUnit(context.Background(), &brokerv1.RemoveUnitRequest{Handle: resp.GetUnit().GetHandle()}); err != nil {
			t.Error(err)
		}
	})
	return filepath.Base(resp.GetUnit().GetControlGroup())
}

// allowed is whether the broker would start it; to refuse it for its form or by policy
// is all the same here.
func allowed(t *testing.T, api brokerv1.BrokerServiceClient, spec *brokerv1.UnitSpec) bool {
	t.Helper()
	resp, err := api.CheckStart(t.Context(), &brokerv1.CheckStartRequest{Spec: spec})
	if err != nil && status.Code(err) != codes.InvalidArgument {
		t.Fatal(err)
	}
	return err == nil && resp.GetAllowed()
}

// makeProgramOrDirectory makes what a request names.
func makeProgramOrDirectory(t *testing.T, path string, program bool) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if program {
		err = errors.Join(err, os.WriteFile(path, []byte("#!/bin/sh\nsleep 3600; true\n"), 0o755))
	} else {
		err = errors.Join(err, os.MkdirAll(path, 0o755))
	}
	if err := errors.Join(err, os.Chown(path, idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad"))); err != nil {
		t.Fatal(err)
	}
}

// arrived fails the test unless the program has the arguments and the environment of
// the request.
func arrived(t *testing.T, unit string, spec *brokerv1.UnitSpec) {
	t.Helper()
	proc := filepath.Join("/proc", show(t, unit, "MainPID")["MainPID"])
	line, err := os.ReadFile(proc + "/cmdline")
	environment, err2 := os.ReadFile(proc + "/environ")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(unit, err)
	}
	// The first is the interpreter.
	want := append([]string{"/bin/sh", spec.GetCommand()}, spec.GetArgs()...)
	if got := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00"); !slices.Equal(got, want) {
		t.Errorf("%s was started as %q, want %q", unit, got, want)
	}
	has := strings.Split(string(environment), "\x00")
	for k, v := range spec.GetEnv() {
		if !slices.Contains(has, k+"="+v) {
			t.Errorf("%s has no %s=%q in its environment: %q", unit, k, v, has)
		}
	}
}

// measured are properties that tell what a unit uses.
var measured = regexp.MustCompile(`^(CPUUsageNSec|(Effective)?Memory(Current|Available|Peak|SwapCurrent|SwapPeak|ZSwapCurrent)|IO\w+(Bytes|Operations)|IP\w+(Bytes|Packets)|TasksCurrent)=`)

// ran is what systemctl show adds to a command line that has run; sets are properties
// without an order.
var (
	ran, dollars = regexp.MustCompile(` ; start_time=.*`), regexp.MustCompile(`(\\?\$)+`)
	sets         = regexp.MustCompile(`^(Requires|Wants|After|\w+MountsFor)=`)
)

// lasting are the lines of systemctl show that do not measure anything. What a text
// with a line break adds to them, it adds before and after. In a command line PID 1
// escapes dollar signs and semicolons when it writes the file, and 252 does not take
// that back when it reads it, but nobody executes the line again; and
// RestrictNamespaces= it loses, as broker/directive knows.
func lasting(t *testing.T, unit string) []string {
	t.Helper()
	lines := slices.DeleteFunc(strings.Split(run(t, "systemctl", "show", unit), "\n"), func(line string) bool {
		return measured.MatchString(line) || strings.HasPrefix(line, "RestrictNamespaces=")
	})
	for i, line := range lines {
		if name := sets.FindString(line); name != "" {
			words := strings.Fields(line[len(name):])
			slices.Sort(words)
			line = name + strings.Join(words, " ")
		}
		line = strings.ReplaceAll(dollars.ReplaceAllString(line, "$$"), `\;`, ";")
		lines[i] = ran.ReplaceAllString(line, "")
	}
	return lines
}

// changed are the lines that only one of two texts has.
func changed(a, b []string) []string {
	return slices.Concat(
		slices.DeleteFunc(slices.Clone(a), func(line string) bool { return slices.Contains(b, line) }),
		slices.DeleteFunc(slices.Clone(b), func(line string) bool { return slices.Contains(a, line) }))
}
