// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nomad-systemd-driver/broker/program"
)

// TestExplainHasThePluginReadJobs, and passes on what it was told.
func TestExplainHasThePluginReadJobs(t *testing.T) {
	dir := policyDir(t, twoRules)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "job.nomad.hcl")
	if err := os.WriteFile(file, []byte(`job "x" {}`), 0o600); err != nil {
		t.Fatal(err)
	}
	const job, bare = ` {"Job": {"ID": "x"}} `, `{"ID": "x", "TaskGroups": []}`
	for name, row := range map[string]struct {
		args        []string
		stdin       string
		path, flags string // that are passed on
		text        string
	}{
		"on standard input": {nil, job, "-", "", strings.TrimSpace(job)},
		"without a frame":   {[]string{"-"}, bare, "-", "", bare},
		"a job file":        {[]string{"--json", file, "--client=c"}, "", file, "--client=c --json=true ", ""},
	} {
		err := policyExplain(append([]string{"--policy", dir}, row.args...), strings.NewReader(row.stdin), io.Discard, io.Discard)
		e, ok := errors.AsType[*pluginError](err)
		if !ok {
			t.Fatalf("%s: %v", name, err)
		}
		want := strings.Fields(fmt.Sprintf("nomad-systemd-driver requests --alloc-dir=/srv/alloc -- %s -- %s policy explain %s--policy=%s", row.path, self, row.flags, dir))
		if !slices.Equal(e.args, want) || string(e.job.text) != row.text {
			t.Errorf("%s: the plugin is called %q with %q, want %q", name, e.args, e.job.text, want)
		}
	}
	// Elsewhere it is a mistake.
	err = policyDiff([]string{"--requests", file, dir, dir}, strings.NewReader(""), io.Discard, io.Discard)
	if _, ok := errors.AsType[mistakeError](err); !ok || !strings.Contains(err.Error(), "make requests of it with: nomad-systemd-driver requests "+file) {
		t.Errorf("policy diff: %v", err)
	}
}

// TestPluginIsRootsAlone, or it does not run.
func TestPluginIsRootsAlone(t *testing.T) {
	host := &program.Host{Base: t.TempDir(), Owner: uint32(os.Getuid())}
	if err := checkPlugin(host); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("where there is none: %v", err)
	}
	at := filepath.Join(host.Base, plugin)
	if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, nil, 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := checkPlugin(host); err != nil {
		t.Errorf("where it is root's: %v", err)
	}
	if err := os.Chmod(filepath.Dir(at), 0o775); err != nil {
		t.Fatal(err)
	}
	if err := checkPlugin(host); err == nil || !strings.Contains(err.Error(), "plugins can be changed by others than root") {
		t.Errorf("in a directory of a group: %v", err)
	}
}
