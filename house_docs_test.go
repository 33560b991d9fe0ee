// SPDX-License-Identifier: MPL-2.0

package house

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// ranWhole are the pages whose blocks of commands are run as they are, and what runs
// them.
var ranWhole = map[string]string{
	"docs/quick-start.md":      "deploy/packages/test/quick-start-guest",
	"docs/container.md":        "testbed/e2e/container_test.go",
	"docs/policy-tutorial.md":  "testbed/e2e/tutorial/tutorial_test.go", // with what they print
	"deploy/systemd/README.md": "deploy/packages/test/guest",
}

// program begins a line of commands in a paragraph that is set as code.
var program = regexp.MustCompile(`^    ((?:CGO_ENABLED=0|curl|dnf|dpkg|echo|git|install|journalctl|nomad|nomad-systemd-driver|podman|sha256sum|ssh-keygen|systemctl|systemd-brokerd|systemd-cgtop|tar|testbed/\S+) .*)`)

// blocks are the lines of a page that are in blocks of sh.
func blocks(page string) []string {
	var all []string
	inside := false
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, " \n")
		switch {
		case line == "```sh":
			inside = true
		case line == "```":
			inside = false
		case inside && line != "":
			all = append(all, line)
		}
	}
	return all
}

// commands are the lines of a page that people are to type.
func commands(path, page string) []string {
	var all []string
	if ranWhole[path] == "" {
		all = blocks(page)
	}
	for line := range strings.Lines(page) {
		if m := program.FindStringSubmatch(strings.TrimRight(line, " \n")); m != nil {
			all = append(all, m[1])
		}
	}
	for i, line := range all {
		line, _, _ = strings.Cut(line, " #") // a remark
		all[i] = strings.TrimSpace(line)
	}
	return all
}

// TestEveryCommandInTheGuidesIsTried: or somebody said why not. docs/testdata/commands.tsv
// says of each what tries it: a test, a target of the Makefile, a text in a script of
// deploy/packages/test, or "not" and the reason.
func TestEveryCommandInTheGuidesIsTried(t *testing.T) {
	for page, by := range ranWhole {
		if !strings.Contains(read(t, by), filepath.Base(page)) {
			t.Errorf("%s does not run the commands of %s", by, page)
		}
	}
	var guests, sources strings.Builder
	found := make(map[string]bool)
	for _, f := range files(t) {
		switch {
		case strings.HasPrefix(f.path, "deploy/packages/test/guest"), f.path == "deploy/packages/release-check":
			guests.Write(f.content)
		case strings.HasSuffix(f.path, "_test.go"):
			sources.Write(f.content)
		case filepath.Ext(f.path) != ".md" || f.path == "HACKING.md" || strings.HasPrefix(f.path, "testbed/"):
		default:
			for _, c := range commands(f.path, string(f.content)) {
				found[f.path+"\t"+c] = true
			}
		}
	}
	makefile := read(t, "Makefile")
	for row := range strings.Lines(read(t, "docs/testdata/commands.tsv")) {
		row = strings.TrimSuffix(row, "\n")
		cut := strings.LastIndex(row, "\t")
		if cut < 0 {
			t.Fatalf("commands.tsv: %q has no tab", row)
		}
		command, how := row[:cut], row[cut+1:]
		if !found[command] {
			t.Errorf("commands.tsv: no page has %q", command)
		}
		delete(found, command)
		kind, what, _ := strings.Cut(how, " ")
		switch {
		case kind == "not" && what != "":
		case kind == "guest" && what != "" && strings.Contains(guests.String(), what):
		case kind == "make" && strings.Contains(makefile, "\n"+what+":"):
		case kind == "test" && strings.Contains(sources.String(), "\nfunc "+what+"("):
		default:
			t.Errorf("commands.tsv: of %q it says %q, which is not there", command, how)
		}
	}
	for command := range found {
		t.Errorf("nothing tries this command: see that something does, and add it to docs/testdata/commands.tsv: %q", command)
	}
}

// TestTheNewcomerDidWhatTheQuickStartSays: the transcript is of the page as it is now.
func TestTheNewcomerDidWhatTheQuickStartSays(t *testing.T) {
	transcript := strings.Split(read(t, "docs/newcomer.md"), "\n")
	wanted := blocks(read(t, "docs/quick-start.md"))
	if len(wanted) < 50 {
		t.Fatalf("the quick start has %d lines of commands only", len(wanted))
	}
	for _, line := range wanted {
		i := 0
		for i < len(transcript) && transcript[i] != "# "+line && transcript[i] != "> "+line {
			i++
		}
		if i == len(transcript) {
			t.Fatalf("docs/newcomer.md does not have %q where it should: run make newcomer", line)
		}
		transcript = transcript[i+1:]
	}
}
