// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// canary is a secret of one run of the tests, looked for where it must not be.
type canary string

func newCanary() canary {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return canary("canary-" + hex.EncodeToString(b[:]))
}

// in reports whether text holds the canary, also as D-Bus shows bytes and as JSON
// holds them.
func (c canary) in(text string) bool {
	decimal := make([]string, len(c))
	for i, b := range []byte(c) {
		decimal[i] = fmt.Sprint(b)
	}
	for _, form := range []string{
		string(c), strings.Join(decimal, " "), strings.Join(decimal, ","), base64.StdEncoding.EncodeToString([]byte(c)), hex.EncodeToString([]byte(c)),
	} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

// sum is what sha256sum prints of it.
func (c canary) sum() string {
	sum := sha256.Sum256([]byte(c))
	return hex.EncodeToString(sum[:])
}

// readsSecrets tells whether its secrets are there without telling them.
const readsSecrets = `
sum() { sha256sum | cut -d' ' -f1; }
echo "env-sum=$(printf %s "$SECRET" | sum)"
echo "file-sum=$(sum < /secrets/key)"
echo "inline-sum=$(sum < "$CREDENTIALS_DIRECTORY/inline")"
echo "source-sum=$(sum < "$CREDENTIALS_DIRECTORY/source")"
echo "credentials=$(ls "$CREDENTIALS_DIRECTORY" | tr '\n' ' ')"
echo "writes=$( (echo x > "$CREDENTIALS_DIRECTORY/inline") 2>&1 | grep -c 'Read-only\|Permission')"
mount() { awk -v at="$1" '$5 == at { print $6 }' /proc/self/mountinfo; }
echo "secrets-mount=$(mount /secrets)"
echo "run=$( (/secrets/program) 2>&1 | grep -c 'Permission denied')"
` + whoIsIt

// TestSecretsAreHiddenFromOtherUsers: the environment, a template and credentials
// of a task are found nowhere by a user of the host, nor by root where others
// could read on.
func TestSecretsAreHiddenFromOtherUsers(t *testing.T) {
	env, file, inline := newCanary(), newCanary(), newCanary()
	tk := script(readsSecrets + "exec sleep 600")
	tk.Env = map[string]string{"SECRET": string(env)}
	tk.Templates = append(tk.Templates,
		template{Path: "secrets/key", Text: string(file), Perms: "600"},
		template{Path: "secrets/program", Text: "#!/bin/sh\necho runs", Perms: "755"})
	tk.Config["supplementary_groups"] = []string{"audio"}
	tk.Config["credential"] = map[string]any{
		"inline": map[string]any{"content": string(inline)},
		"source": map[string]any{"source": "secrets/key"},
	}
	j := submit(t, tk)
	j.await("running")
	out := j.awaitLog("ready")
	want := ephemeralAnswers(show(t, j.unit(), "UID")["UID"], show(t, j.unit(), "User")["User"])
	want["env-sum"], want["inline-sum"], want["source-sum"] = env.sum(), inline.sum(), file.sum()
	want["credentials"], want["writes"], want["run"] = "inline source", "1", "1"
	checkAnswers(t, out, want)
	for _, option := range []string{"rw", "nosuid", "noexec"} {
		if got := answers(out)["secrets-mount"]; !strings.Contains(","+got+",", ","+option+",") {
			t.Errorf("/secrets is mounted %s, want %s", got, option)
		}
	}
	// A session has the same credentials, also after PID 1 has read its units anew.
	run(t, "systemctl", "daemon-reload")
	if got := j.inTask(`cat "$CREDENTIALS_DIRECTORY/inline" "$CREDENTIALS_DIRECTORY/source" | sha256sum | cut -d" " -f1`); got != (inline + file).sum() {
		t.Errorf("a session reads other credentials")
	}
	j.hides(env, file, inline)
	// Root finds each of them in the places that are for the task alone: so would
	// alice, if she could read there.
	for what, c := range map[string]canary{"/proc/*/environ": env, "/run/credentials/*/inline": inline, "/run/credentials/*/source": file, "/var/lib/nomad/alloc/*/task/secrets/key": file} {
		isIn(t, what, c)
	}
}

// hides looks for secrets of the task where users of the host can read.
func (j *job) hides(canaries ...canary) {
	t := j.t
	t.Helper()
	const manager = "busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager GetUnit s "
	all := "busctl call org.freedesktop.systemd1 " + strings.Split(run(t, "sh", "-c", manager+j.unit()), `"`)[1] +
		" org.freedesktop.DBus.Properties GetAll s org.freedesktop.systemd1."
	unit := "systemctl show --all " + j.unit() + "; systemctl cat " + j.unit()
	places := map[string]string{
		"systemctl":              unit,
		"D-Bus":                  all + "Service; " + all + "Unit",
		"what systemd writes":    "cat /run/systemd/transient/*; grep -ras . /run/systemd",
		"the broker's directory": "grep -ras . /run/systemd-brokerd",
		"the journal":            "journalctl --no-pager -a -o export",
	}
	run(t, "journalctl", "--sync")
	for what, shell := range places {
		found(t, what+", which root reads", shell, run(t, "sh", "-c", "("+shell+") 2>/dev/null; true"), canaries...)
	}
	// What a user reads of the unit is what was looked at.
	for _, what := range []string{"systemctl", "D-Bus", "what systemd writes"} {
		if text, err := asUser("alice", places[what]); !strings.Contains(text, "RootDirectory") {
			t.Errorf("alice reads nothing of the unit in %s: %v", what, err)
		}
	}
	places["/proc"] = "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline /proc/[0-9]*/mountinfo"
	places["the credentials"] = "grep -ras . /run/credentials"
	places["the task's view"] = fmt.Sprintf("grep -ras . /proc/%d/root/secrets /proc/%[1]d/root/run /proc/%[1]d/cwd/", j.pid())
	places["the data directory"] = "grep -ras . /var/lib/nomad; for f in secrets/key secrets/vault_token private/vault_token; do cat /var/lib/nomad/alloc/" + j.alloc + "/task/$f; done"
	for what, shell := range places {
		text, _ := asUser("alice", shell)
		found(t, what+", which alice reads", shell, text, canaries...)
	}
}

// isIn fails the test unless root finds the canary in files.
func isIn(t *testing.T, files string, c canary) {
	t.Helper()
	if text, _ := exec.Command("sh", "-c", "cat "+files).Output(); !c.in(string(text)) {
		t.Errorf("not even root finds it in %s", files)
	}
}

// found fails the test if a canary is in what a user read.
func found(t *testing.T, what, shell, text string, canaries ...canary) {
	t.Helper()
	for i, c := range canaries {
		if c.in(text) {
			t.Errorf("secret %d is in %s: %s", i+1, what, shell)
		}
	}
}
