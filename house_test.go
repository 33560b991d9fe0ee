// SPDX-License-Identifier: MPL-2.0

// Package house holds the repository to its own rules, those that a linter does
// not know.
package house

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const license = "SPDX-License-Identifier: MPL-2.0"

// file is one file of the repository.
type file struct {
	path    string
	content []byte
}

// files are all files of the repository but test data, generated ones included.
func files(t *testing.T) []file {
	t.Helper()
	var all []file
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "bin", "dist", "testdata"}, d.Name()):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		content, err := os.ReadFile(path)
		all = append(all, file{path, content})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("found %d files only: is the test run from the root of the repository?", len(all))
	}
	return all
}

// isSource reports whether f is something people wrote for a machine to run.
func isSource(f file) bool {
	switch filepath.Ext(f.path) {
	case ".go", ".proto", ".sh", ".service", ".socket", ".slice", ".conf", ".yaml", ".yml":
		return true
	}
	return filepath.Base(f.path) == "Makefile" || bytes.HasPrefix(f.content, []byte("#!"))
}

func TestEverySourceNamesItsLicense(t *testing.T) {
	for _, f := range files(t) {
		head, _, _ := strings.Cut(string(f.content), "\n\n")
		if isSource(f) && !strings.Contains(head, license) {
			t.Errorf("%s: its first lines do not hold %q", f.path, license)
		}
	}
}

func TestEveryPackageSaysItsJob(t *testing.T) {
	docs := make(map[string]string) // folder -> package comment
	for _, f := range files(t) {
		if filepath.Ext(f.path) != ".go" {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.path, f.content, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Errorf("%s: %v", f.path, err)
			continue
		}
		// Tests of a package need no comment of their own.
		dir := filepath.Dir(f.path)
		docs[dir] += parsed.Doc.Text()
	}
	for dir, doc := range docs {
		if !strings.HasPrefix(doc, "Package ") && !strings.HasPrefix(doc, "Command ") {
			t.Errorf("%s: no file has a package comment that begins with Package or Command; it has %q", dir, doc)
		}
	}
}

func TestEveryLinkInTheDocumentsLeadsSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	links := 0
	for _, f := range files(t) {
		if filepath.Ext(f.path) != ".md" {
			continue
		}
		for _, m := range link.FindAllSubmatch(f.content, -1) {
			target := string(m[1])
			if strings.Contains(target, "://") {
				continue
			}
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(f.path), target)); err != nil {
				t.Errorf("%s: the link to %s leads nowhere: %v", f.path, target, err)
			}
		}
	}
	if links == 0 {
		t.Error("found no links at all")
	}
}

func TestEveryMakeTargetInTheDocumentsExists(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile("(?m)(?:`|^ *)make ([a-z][a-z0-9-]*)")
	for _, f := range files(t) {
		if filepath.Ext(f.path) != ".md" {
			continue
		}
		for _, m := range command.FindAllSubmatch(f.content, -1) {
			if !bytes.Contains(makefile, []byte("\n"+string(m[1])+":")) {
				t.Errorf("%s: the Makefile has no target %s", f.path, m[1])
			}
		}
	}
}

// TestEveryTestInTheDocumentsExists keeps the tables that name the test behind
// each of their rows honest.
func TestEveryTestInTheDocumentsExists(t *testing.T) {
	var sources []byte
	for _, f := range files(t) {
		if strings.HasSuffix(f.path, "_test.go") {
			sources = append(sources, f.content...)
		}
	}
	name, named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`"), 0
	for _, f := range files(t) {
		if filepath.Ext(f.path) != ".md" {
			continue
		}
		for _, m := range name.FindAllSubmatch(f.content, -1) {
			named++
			if !bytes.Contains(sources, []byte("\nfunc "+string(m[1])+"(")) {
				t.Errorf("%s: there is no test %s", f.path, m[1])
			}
		}
	}
	if named == 0 {
		t.Error("found no names of tests at all")
	}
}
