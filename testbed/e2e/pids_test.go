// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestTasksOfOneUser: the kernel lets the processes of one user signal each other, in
// whatever tasks they are, and not one that has process ids of its own. Such a program is
// process 1 in its view, and gets no signal that it does not handle.
func TestTasksOfOneUser(t *testing.T) {
	t.Parallel()
	var version int
	if _, err := fmt.Sscanf(run(t, "systemctl", "--version"), "systemd %d", &version); err != nil {
		t.Fatal(err)
	}
	alices := func(name, text string, private bool) *job {
		tk := script(text)
		tk.User, tk.KillTimeout = "alice", 2*time.Second
		if private {
			tk.Config["systemd"] = map[string]any{"PrivatePIDs": []string{"yes"}}
		}
		return submitAs(t, "of-one-user-"+name, tk)
	}
	victim := alices("victim", "echo ready; exec sleep 600", false)
	victim.await("running")
	victim.awaitLog("ready")
	const attempt = "kill -0 %[1]d && echo signalled; test -e /proc/%[1]d/status && echo seen; echo done; exec sleep 600"
	plain := alices("plain", fmt.Sprintf(attempt, victim.pid()), false)
	plain.await("running")
	if got := plain.awaitLog("done"); !strings.HasPrefix(got, "signalled\n") {
		t.Errorf("a task cannot signal another of its user, which the documents say: %q", got)
	}
	if version < 257 {
		private := alices("private", "sleep 600", true)
		if text := private.messages(private.await("failed")); !strings.Contains(text, "PrivatePIDs") {
			t.Errorf("systemd %d has no PrivatePIDs=; the task's events are:\n%s", version, text)
		}
		return
	}
	private := alices("private", fmt.Sprintf(attempt, victim.pid()), true)
	private.await("running")
	if got := private.awaitLog("done"); got != "done\n" {
		t.Errorf("a task with process ids of its own can do more than nothing: %q", got)
	}
	for _, tt := range []struct {
		j    *job
		want string
	}{{plain, "Signal: 15"}, {private, "Signal: 9"}} {
		tt.j.stop()
		if e := tt.j.terminated("complete"); !strings.Contains(e.DisplayMessage, tt.want) {
			t.Errorf("a stop ends %s with %q, want %s", tt.j.id, e.DisplayMessage, tt.want)
		}
	}
}
