// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"nomad-systemd-driver/docs"
)

// TestCommandsAndFlagsInTheDocumentsExist: each that a page mentions, in a sentence too.
func TestCommandsAndFlagsInTheDocumentsExist(t *testing.T) {
	pages, err := docs.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	mention := regexp.MustCompile("(?:`|\n    (?:[^\n]*[|] )?|&& )systemd-brokerd ((?:policy )?[a-z]+)((?: [^`|&\n<>]*)?)")
	flagName := regexp.MustCompile(`(?:^| )--?([a-z][a-z-]*)`)
	found := 0
	for _, p := range pages {
		text, err := docs.Files.ReadFile(p.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mention.FindAllStringSubmatch(string(text), -1) {
			if m[1] == "cannot" {
				continue // the text of an event
			}
			found++
			var out bytes.Buffer
			err := run(t.Context(), append(strings.Fields(m[1]), "--help"), &out, &out)
			if err == errUsage { //nolint:errorlint // it is never wrapped
				t.Errorf("docs/%s: there is no command %q", p.Name(), "systemd-brokerd "+m[1])
				continue
			}
			for _, f := range flagName.FindAllStringSubmatch(m[2], -1) {
				if f[1] != "help" && !regexp.MustCompile(`(?m)^  -`+f[1]+`\b`).MatchString(out.String()) {
					t.Errorf("docs/%s: %q has no flag %q", p.Name(), "systemd-brokerd "+m[1], "--"+f[1])
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("found %d mentions of commands only", found)
	}
}
