// SPDX-License-Identifier: MPL-2.0

//go:build e2e

// Package tutorial does what docs/policy-tutorial.md says, on a host with the policy
// that is shipped: before the other end-to-end tests install theirs.
package tutorial

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"nomad-systemd-driver/docs"
	"nomad-systemd-driver/examples"
)

const policyDir = "/etc/systemd-brokerd/policy.d"

// step is a command and what the page says that it prints, or a file to write.
type step struct {
	command, want string
	file, text    string
}

var fileName = regexp.MustCompile("`([a-z0-9/.-]+\\.hcl)`")

// steps are those of the page. Its commands follow "$"; what is in a block of HCL goes
// into the file that was named last.
func steps(page string) []step {
	var all []step
	file, inBlock := "", false
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, "\n")
		shown, indented := strings.CutPrefix(line, "    ")
		last := len(all) - 1
		switch command, isCommand := strings.CutPrefix(shown, "$ "); {
		case line == "```hcl":
			inBlock = true
			all = append(all, step{file: filepath.Join(policyDir, filepath.Base(file))})
		case line == "```":
			inBlock = false
		case inBlock:
			all[last].text += line + "\n"
		case indented && isCommand:
			all = append(all, step{command: command})
		case last >= 0 && all[last].command != "" && (indented || line == "" && all[last].want != ""):
			all[last].want += shown + "\n"
		case !indented:
			if m := fileName.FindAllStringSubmatch(line, -1); m != nil {
				file = m[len(m)-1][1]
			}
			all = append(all, step{}) // what follows is not of the last command
		}
	}
	return all
}

// anyID are the ids of requests, of allocations and of their tasks: other ones each time.
var anyID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{16}\b|\b[0-9a-f]{8}\b`)

// pattern is what matches the text with other ids, and anything at "…". The ids are its
// groups, and returned.
func pattern(text string) (*regexp.Regexp, []string) {
	text = strings.TrimSpace(text)
	ids := anyID.FindAllString(text, -1)
	quoted := anyID.ReplaceAllStringFunc(regexp.QuoteMeta(text), func(id string) string {
		if strings.Trim(id, "0-") == "" {
			return id // of a job that was planned only
		}
		return "([0-9a-f-]{" + map[int]string{36: "36", 16: "16", 8: "8"}[len(id)] + "})"
	})
	kept := ids[:0]
	for _, id := range ids {
		if strings.Trim(id, "0-") != "" {
			kept = append(kept, id)
		}
	}
	return regexp.MustCompile(`(?s)^` + strings.ReplaceAll(quoted, "…", ".*") + `$`), kept
}

// TestTutorialIsTrue does one step after the other, and compares what is printed.
func TestTutorialIsTrue(t *testing.T) {
	page, err := docs.Files.ReadFile("policy-tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, examples.Files); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, command := range []string{"nomad job stop -purge report", "rm -r /root/before " + policyDir + "/20-report.*", "systemctl restart systemd-brokerd"} {
			if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", command, err, out)
			}
		}
	})
	now := make(map[string]string) // the ids of the page, and those of today
	compared := 0
	for _, s := range steps(string(page)) {
		switch {
		case s.file != "":
			if err := os.WriteFile(s.file, []byte(s.text), 0o644); err != nil {
				t.Fatal(err)
			}
		case s.command != "":
			for old, id := range now {
				s.command = strings.ReplaceAll(s.command, old, id)
			}
			follow(t, dir, s, now)
			if s.want != "" {
				compared++
			}
		}
	}
	if compared < 8 {
		t.Errorf("the page has %d commands with what they print only", compared)
	}
}

// follow runs the command until it prints what the page says: what Nomad does takes a
// moment.
func follow(t *testing.T, dir string, s step, now map[string]string) {
	t.Helper()
	want, ids := pattern(s.want)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for {
		cmd := exec.CommandContext(ctx, "bash", "-c", s.command)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		found := want.FindStringSubmatch(strings.TrimSpace(string(out)))
		exit, _ := errors.AsType[*exec.ExitError](err)
		switch {
		case s.want == "" && err == nil, found != nil && (err == nil || exit != nil && exit.ExitCode() == 1):
			t.Logf("$ %s", s.command)
			for i, id := range ids {
				now[id] = found[i+1]
			}
			return
		case s.want == "", ctx.Err() != nil:
			t.Fatalf("%s: %v, want\n%s\ngot\n%s", s.command, err, s.want, out)
		}
		time.Sleep(time.Second)
	}
}
