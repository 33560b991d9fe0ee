// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/plugins/shared/hclspec"
)

// keys are those of a schema, with those of its blocks after a dot.
func keys(s *hclspec.Spec, prefix string) []string {
	var all []string
	switch {
	case s.GetObject() != nil:
		for name, of := range s.GetObject().GetAttributes() {
			all = append(append(all, prefix+name), keys(of, prefix+name+".")...)
		}
	case s.GetBlockValue() != nil:
		all = keys(s.GetBlockValue().GetNested(), prefix)
	case s.GetBlockMap() != nil:
		all = keys(s.GetBlockMap().GetNested(), prefix)
	case s.GetBlockList() != nil:
		all = keys(s.GetBlockList().GetNested(), prefix)
	case s.GetDefault() != nil:
		all = keys(s.GetDefault().GetPrimary(), prefix)
	}
	slices.Sort(all)
	return all
}

func jobReference(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/job-reference.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section is what stands below a heading.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("there is no section %q", heading)
	}
	text, _, _ := strings.Cut(rest, "\n## ")
	return text
}

// blocks are the texts between the braces of each block of a name, found by its
// indentation.
func blocks(page, name string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?ms)^( *)`+name+` \{\n(.*?)\n( *)\}$`).FindAllStringSubmatchIndex(page, -1) {
		indent := page[m[2]:m[3]]
		body, _, _ := strings.Cut(page[m[4]:], "\n"+indent+"}\n")
		all = append(all, body)
	}
	return all
}

// shows tells whether some block of HCL sets the key, in the blocks that it is in.
func shows(text, key string) bool {
	block, inner, nested := strings.Cut(key, ".")
	if !nested {
		return regexp.MustCompile(`(?m)^\s*` + block + `( *=| "[^"]*" \{| \{)`).MatchString(text)
	}
	for _, body := range blocks(text, block+`(?: "[^"]*")?`) {
		if shows(body, inner) {
			return true
		}
	}
	return false
}

func TestReferenceShowsEachKey(t *testing.T) {
	page := jobReference(t)
	configs := blocks(page, "config")
	all := keys(taskConfigSpec, "")
	if len(all) < 40 || len(configs) < 5 {
		t.Fatalf("found %d keys and %d examples", len(all), len(configs))
	}
	tables := section(t, page, "Task configuration") + section(t, page, "Secrets")
	for _, key := range all {
		if !slices.ContainsFunc(configs, func(c string) bool { return shows(c, key) }) {
			t.Errorf("docs/job-reference.md has no example of %s", key)
		}
		last := key[strings.LastIndex(key, ".")+1:]
		isBlock := slices.ContainsFunc(all, func(k string) bool { return strings.HasPrefix(k, key+".") })
		if !isBlock && !strings.Contains(tables, "`"+key+"`") && !strings.Contains(tables, "`"+last+"`") && !strings.Contains(tables, "`"+last+" ") {
			t.Errorf("docs/job-reference.md does not say what %s is", key)
		}
	}
}

// TestReferenceExamplesWork: the driver takes what the page shows.
func TestReferenceExamplesWork(t *testing.T) {
	for _, body := range blocks(section(t, jobReference(t), "Examples"), "config") {
		if _, err := plannedSpec(newTaskConfig(t, parse(t, body))); err != nil {
			t.Errorf("the example is refused: %v\n%s", err, body)
		}
	}
}

func TestReferenceShowsEachKeyOfThePlugin(t *testing.T) {
	page := section(t, jobReference(t), "On the node")
	configs := blocks(page, "config")
	if len(configs) != 1 {
		t.Fatalf("found %d examples", len(configs))
	}
	for _, key := range keys(configSpec, "") {
		if !shows(configs[0], key) {
			t.Errorf("docs/job-reference.md has no %s", key)
		}
	}
}
