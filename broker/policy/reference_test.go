// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReferenceHasEachKey: what a policy can say is in the first column of a table of
// docs/policy.md, or a paragraph of it, below the block that it is of.
func TestReferenceHasEachKey(t *testing.T) {
	text := document(t, "policy.md")
	for _, tt := range []struct {
		section, block string // the heading, and the paragraph within it that is about a block
		known          schema
	}{
		{"client", "", clientSchema},
		{"rule", "", ruleSchema},
		{"rule", "args", argsSchema},
		{"rule", "directives", directivesSchema},
		{"rule", "exec", execSchema},
		{"rule", "limits", limitsSchema},
		{"rule", "quotas", quotasSchema},
		{"rule", "run_as", runAsSchema},
		{"rule", "volumes", volumesSchema},
		{"never", "", neverSchema},
		{"never", "", neverArgs},
	} {
		name := strings.TrimSuffix(tt.section+"."+tt.block, ".")
		t.Run(name, func(t *testing.T) {
			_, page, ok := strings.Cut(text, "\n### "+tt.section+" \"NAME\"\n")
			if !ok {
				t.Fatal("docs/policy.md has no section of it")
			}
			page, _, _ = strings.Cut(page, "\n##")
			if tt.block != "" {
				if _, page, ok = strings.Cut(page, "\n**`"+tt.block+"`**"); !ok {
					t.Fatal("docs/policy.md has no paragraph of it")
				}
				page, _, _ = strings.Cut(page, "\n**`")
			}
			for _, key := range slices.Concat(tt.known.attributes, tt.known.blocks) {
				if !regexp.MustCompile("(?m)^(\\| |\\*\\*).*`" + key + "[` .]").MatchString(page) {
					t.Errorf("docs/policy.md does not say what %s is", key)
				}
			}
		})
	}
}

func TestReferenceHasEachKeyOfAnIdentity(t *testing.T) {
	text := document(t, "identity.md")
	for _, key := range identitySchema.attributes {
		if !regexp.MustCompile("(?m)^\\| `" + key + "[` ]").MatchString(text) {
			t.Errorf("docs/identity.md does not say what %s is", key)
		}
	}
}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
