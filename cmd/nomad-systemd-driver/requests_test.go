// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const planned = `{"Job": {"ID": "web", "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Driver": "systemd", "Config": {"command": "local/t"}}]}]}}`

// TestRequests: JSON is read as it is, all else by Nomad's program, which gets the
// variables.
func TestRequests(t *testing.T) {
	dir := t.TempDir()
	nomad, file := filepath.Join(dir, "nomad"), filepath.Join(dir, "job.nomad.hcl")
	script := "#!/bin/sh\necho \"$*\" >" + dir + "/args\ncat >" + dir + "/stdin\ngrep -q good " + dir + "/stdin || { echo mistake >&2; exit 1; }\necho '" + planned + "'\n"
	if err := os.WriteFile(nomad, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(`job "good" {}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name  string
		args  []string
		stdin string
		asked string // of Nomad's program
		err   string
	}{
		{"JSON", nil, " " + planned, "", ""},
		{"a job file", []string{"--var", "a=b c", "--var-file", "x", "--var", "d=e", file}, "", "job run -output -var a=b c -var-file x -var d=e " + file, ""},
		{"a job file on standard input", nil, `job "good" {}`, "job run -output -", ""},
		{"a mistake", nil, `job "bad" {`, "job run -output -", "exit status 1"},
		{"no file", []string{file + "x"}, "", "", "no such file"},
		{"no program", []string{"--nomad", "/nonexistent/nomad", file}, "", "", "takes Nomad's program"},
		{"two", []string{file, file}, "", "", "one job at a time"},
		{"a command", []string{"--", "-", "--", "cat"}, planned, "", ""},
		{"a command that fails", []string{"-", "--", "sh", "-c", "exit 7"}, planned, "", "exit status 7"},
		{"no command", []string{"-", "--"}, planned, "", "one job at a time"},
		{"a command that is not there", []string{"-", "--", "/nonexistent/x"}, planned, "", "no such file"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_ = os.Remove(filepath.Join(dir, "args"))
			var stdout, stderr bytes.Buffer
			err := requests(append([]string{"--nomad", nomad}, row.args...), strings.NewReader(row.stdin), &stdout, &stderr)
			if asked, _ := os.ReadFile(filepath.Join(dir, "args")); strings.TrimSpace(string(asked)) != row.asked {
				t.Errorf("Nomad was asked %q, want %q", asked, row.asked)
			}
			if row.err != "" {
				if err == nil || !strings.Contains(err.Error(), row.err) {
					t.Errorf("got %v, want %q", err, row.err)
				}
				if status, ok := errors.AsType[statusError](err); ok != strings.Contains(row.name, "fails") || ok && status != 7 {
					t.Errorf("the exit status of %v is %d", err, status)
				}
				return
			}
			if err != nil || !strings.Contains(stdout.String(), `"/local/t"`) {
				t.Errorf("got %v\n%s%s", err, stdout.String(), stderr.String())
			}
		})
	}
}
