// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// attacks is how many there are under each letter.
var attacks = map[string]int{
	"A": 12, "B": 12, "C": 12, "D": 21, "E": 11, "F": 10, "G": 17, "H": 14, "I": 6, "J": 9, "K": 8, "L": 6,
}

// TestCatalogue: each attack is there once, its tests exist, and one without tests
// has a note that says why: "void", or "open" for what is still to be written. The last
// column tells how its test was seen to fail with a build that was broken on purpose;
// where it is empty, nobody wrote that down.
func TestCatalogue(t *testing.T) {
	text, err := os.ReadFile("catalogue.tsv")
	if err != nil {
		t.Fatal(err)
	}
	seen, open, void, broken := map[string]bool{}, 0, 0, 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 5 {
			t.Errorf("%q has %d fields, want 5", line, len(fields))
			continue
		}
		id, layer, tests, note := fields[0], fields[1], strings.Fields(fields[2]), fields[3]
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
		if !strings.Contains("UIV", layer) || layer == "" {
			t.Errorf("%s: there is no layer %q", id, layer)
		}
		if len(tests) == 0 && note == "" {
			t.Errorf("%s has neither a test nor a reason", id)
		}
		for _, name := range tests {
			if !exists(t, name) {
				t.Errorf("%s: there is no test %s", id, name)
			}
		}
		if fields[4] != "" {
			broken++
		}
		switch {
		case strings.Contains(note, "open:"), strings.Contains(note, "open in"):
			open++
		case len(tests) == 0:
			void++
		}
	}
	total := 0
	for letter, n := range attacks {
		total += n
		for i := 1; i <= n; i++ {
			if id := letter + strconv.Itoa(i); !seen[id] {
				t.Errorf("%s is missing", id)
			}
		}
	}
	if len(seen) != total {
		t.Errorf("there are %d attacks, want %d", len(seen), total)
	}
	t.Logf("%d attacks: %d with something to be shown still, %d void; of %d it is noted how a broken build fails", total, open, void, broken)
}

var packages = map[string]map[string]bool{}

// exists reports whether there is a test by the name DIRECTORY.TestName.
func exists(t *testing.T, name string) bool {
	t.Helper()
	dir, test, ok := strings.Cut(name, ".")
	if !ok {
		return false
	}
	if packages[dir] == nil {
		packages[dir] = map[string]bool{}
		files, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("there are no tests in %s", dir)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range parsed.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
					packages[dir][f.Name.Name] = true
				}
			}
		}
	}
	return packages[dir][test]
}
