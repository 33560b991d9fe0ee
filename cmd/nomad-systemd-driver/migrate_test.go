// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const inspected = `{"Job": {"ID": "web", "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Driver": "exec", "User": "USER", "Config": {"command": "local/t"}}]}]}}`

func TestMigrate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "job.json")
	if err := os.WriteFile(file, []byte(inspected), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		args   []string
		stdin  string
		status int
		out    string
	}{
		{"from standard input", []string{"migrate"}, inspected, 0, "job web: can run\n"},
		{"from a file", []string{"migrate", file}, "", 0, `users = ["USER"]`},
		{"what cannot run", []string{"migrate"}, strings.ReplaceAll(inspected, "USER", "root"), 1, "job web: cannot run as it is\n"},
		{"no job", []string{"migrate"}, "job \"web\" {}", 2, ""},
		{"no file", []string{"migrate", file + "x"}, "", 2, ""},
		{"help", []string{"migrate", "--help"}, "", 0, "nomad-systemd-driver migrate [--json]"},
		{"anything else", []string{"version"}, "", 0, "task driver plugin"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := command(test.args, strings.NewReader(test.stdin), &stdout, &stderr)
			if status != test.status || !strings.Contains(stdout.String(), test.out) || (status == 2) != (stderr.Len() > 0) {
				t.Errorf("got %d, want %d with %q:\n%s%s", status, test.status, test.out, stdout.String(), stderr.String())
			}
		})
	}
}

func TestMigrateForMachines(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if status := command([]string{"migrate", "--json"}, strings.NewReader(inspected), &stdout, &stderr); status != 0 {
		t.Fatalf("status %d: %s", status, stderr.String())
	}
	var got struct {
		Job      string
		Findings []struct{ Task, Level string }
	}
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil || got.Job != "web" || len(got.Findings) == 0 || got.Findings[0].Task != "t" {
		t.Errorf("got %+v, %v from %s", got, err, stdout.String())
	}
}
