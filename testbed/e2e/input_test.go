// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestBadInput: each mistake ends in an event of the task that names the value,
// the rule or path, and the remedy; the agent stays healthy and nothing is left
// in systemd (submit checks that).
func TestBadInput(t *testing.T) {
	tests := []struct {
		name string
		task task
		want []string
	}{
		{"unknown key in config", task{Config: map[string]any{"command": hello, "comand": "x"}}, []string{"comand"}},
		{"no command", task{Config: map[string]any{"args": []string{"x"}}}, []string{"command is missing", "local/server"}},
		{"no such file in local", task{Config: map[string]any{"command": "bin/none"}}, []string{`"bin/none"`, "local/", "artifact"}},
		{"no such file on the host", task{Config: map[string]any{"command": "/usr/libexec/e2e/none"}}, []string{"/usr/libexec/e2e/none", "does not exist", "artifact"}},
		{"not executable in local", task{
			Config:    map[string]any{"command": "local/script"},
			Templates: []template{{Path: "local/script", Text: "#!/bin/sh\n", Perms: "644"}},
		}, []string{`"script"`, "not executable", "0644", "perms"}},
		{"not executable on the host", task{Config: map[string]any{"command": hello + "-not-executable"}}, []string{hello + "-not-executable", "not executable", "0644"}},
		{"unknown user", task{Config: command(), User: "nobodyhome"}, []string{`user "nobodyhome"`, "run_as.users", "journalctl -x BROKER_REQUEST_ID="}},
		{"forbidden user", task{Config: command(), User: "root"}, []string{`user "root"`, "and none can", "leave user unset", "journalctl -x BROKER_REQUEST_ID="}},
		{"user that exists and is not allowed", task{Config: command(), User: "bob"}, []string{`user "bob"`, "run_as.users"}},
		{"relative path out of the task directory", task{Config: map[string]any{"command": "../../../usr/bin/id"}}, []string{`"../../../usr/bin/id"`, "out of the task's local/"}},
		{"relative path that turns out of it", task{Config: map[string]any{"command": "bin/../../../../etc/passwd"}}, []string{"out of the task's local/"}},
		{"command outside the policy", task{Config: map[string]any{"command": "/usr/bin/id"}}, []string{`command "/usr/bin/id"`, "policy"}},
		{"command that is not clean", task{Config: map[string]any{"command": "/usr/libexec/e2e/../../bin/id"}}, []string{"/usr/libexec/e2e/../../bin/id"}},
		{"more memory than the policy allows", task{Config: command(), Memory: 64, Max: 1500}, []string{"memory", "policy"}},
		{"unknown log driver", task{Config: map[string]any{"command": hello, "logging": []map[string]any{{"driver": "syslog"}}}}, []string{"logging.driver", `"syslog"`, "journald"}},
	}
	t.Parallel()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := submit(t, tt.task)
			text := j.messages(j.await("failed"))
			for _, want := range tt.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q is missing in the events:\n%s", want, text)
				}
			}
			if strings.Contains(text, "Started:") {
				t.Errorf("the task was started:\n%s", text)
			}
			driverHealth(t, healthy)
		})
	}
}
