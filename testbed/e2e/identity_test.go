// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// whoIsIt prints what a program finds out about its user, a line each.
const whoIsIt = `
echo "id=$(id)"
echo "whoami=$(whoami)"
echo "groups=$(groups)"
echo "home=$HOME $(cd && pwd)"
echo "env=$USER $LOGNAME"
echo "entry=$(getent passwd "$(id -u)")"
echo "group=$(getent group "$(id -g)")"
echo "users=$(getent passwd | cut -d: -f1 | tr '\n' ' ')"
echo ready
`

// answers are the lines that whoIsIt prints.
func answers(out string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		all[name] = value
	}
	return all
}

// checkAnswers compares what a task says of its user.
func checkAnswers(t *testing.T, out string, want map[string]string) {
	t.Helper()
	got := answers(out)
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
}

// TestTaskKnowsItsGroups: a user of the host with another group and a further one.
func TestTaskKnowsItsGroups(t *testing.T) {
	t.Parallel()
	tk := script(whoIsIt)
	tk.Type, tk.User = "batch", "alice"
	tk.Config["group"], tk.Config["supplementary_groups"] = "video", []string{"audio"}
	j := submit(t, tk)
	j.await("complete")
	checkAnswers(t, j.logs("stdout"), map[string]string{
		"id":     "uid=2001(alice) gid=44(video) groups=44(video),29(audio)",
		"whoami": "alice",
		"groups": "video audio",
		"home":   "/local /local",
		"env":    "alice alice",
		"entry":  "alice:x:2001:44::/local:/bin/sh",
		"group":  "video:x:44:",
		"users":  "root nobody alice",
	})
}

// ephemeralAnswers are those of a task without a user, in the group audio.
func ephemeralAnswers(uid, name string) map[string]string {
	return map[string]string{
		"id":     "uid=" + uid + "(" + name + ") gid=" + uid + "(" + name + ") groups=" + uid + "(" + name + "),29(audio)",
		"whoami": name,
		"groups": name + " audio",
		"home":   "/local /local",
		"env":    name + " " + name,
		"entry":  name + ":x:" + uid + ":" + uid + "::/local:/bin/sh",
		"group":  name + ":x:" + uid + ":",
		"users":  "root nobody " + name,
	}
}
