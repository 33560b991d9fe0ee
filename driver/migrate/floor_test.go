// SPDX-License-Identifier: MPL-2.0

package migrate

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestFloorIsTheBrokers: the driver is not linked with the broker, and says what it
// refuses all the same.
func TestFloorIsTheBrokers(t *testing.T) {
	for _, row := range []struct {
		file, name string
		ours       []string
	}{
		{"directive/rules.go", "harmless", capabilities},
		{"policy/volumes.go", "closedToTasks", slices.DeleteFunc(slices.Clone(closed), func(s string) bool { return s == allocRoot })},
		{"policy/volumes.go", "closedToWriting", closedToWriting},
		{"policy/files.go", "hostDevices", closedDevices},
	} {
		theirs := table(t, row.file, row.name)
		ours := slices.Sorted(slices.Values(row.ours))
		if !slices.Equal(ours, theirs) {
			t.Errorf("%s of broker/%s: we have %q, the broker %q", row.name, row.file, ours, theirs)
		}
	}
}

// table is a list in the source of the broker, sorted; capabilities as jobs write them.
func table(t *testing.T, file, name string) []string {
	t.Helper()
	source, err := os.ReadFile("../../broker/" + file)
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(source), "\nvar "+name+" = []string{")
	if !found {
		t.Fatalf("broker/%s has no list %s", file, name)
	}
	list, _, _ = strings.Cut(list, "}")
	var all []string
	for _, m := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(list, -1) {
		all = append(all, strings.ToLower(strings.TrimPrefix(m[1], "CAP_")))
	}
	slices.Sort(all)
	return all
}

func TestRuleNamesDoNotCollide(t *testing.T) {
	taken := make(map[string]bool)
	long := strings.Repeat("x", 200)
	for _, row := range []struct {
		names []string
		want  string
	}{
		{[]string{"a", "b", "c"}, "a-b-c"},
		{[]string{"a-b", "c"}, "a-b-c-2"},
		{[]string{"A B", "c"}, "a-b-c-3"},
		{[]string{"日本", "…"}, "task"},
		{[]string{"!", "?"}, "task-2"},
		{[]string{long}, strings.Repeat("x", 56)},
		{[]string{long, "y"}, strings.Repeat("x", 56) + "-2"},
	} {
		if got := ruleName(taken, row.names...); got != row.want {
			t.Errorf("%q: got %q, want %q", row.names, got, row.want)
		}
	}
}
