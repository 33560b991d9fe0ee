// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var (
	runMutants    = flag.Bool("mutants", false, "run the test of each mutant, which must fail")
	updateMutants = flag.Bool("update", false, "write the mutants into the catalogue")
)

const root = "../.."

// mutant is a way to break the code, of which a test must take notice.
type mutant struct {
	ids              []string
	tests            []string // DIRECTORY.TestName, in a VM also DIRECTORY.TestName/subtest
	file, old, other string
	what             string
}

// readMutants reads a table: ids, tests, what is broken, file, and the text that is
// there once and what takes its place, in each of which \n and \t are themselves.
func readMutants(t *testing.T, table string) []mutant {
	t.Helper()
	text, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	var all []mutant
	unescape := strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\\`, `\`).Replace
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 6 {
			t.Fatalf("%q has %d fields, want 6", line, len(f))
		}
		all = append(all, mutant{strings.Fields(f[0]), strings.Fields(f[1]), f[3], unescape(f[4]), unescape(f[5]), f[2]})
	}
	return all
}

// source is the mutant's file, broken.
func (m *mutant) source(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		t.Fatalf("%q is %d times in %s, want once", m.old, n, m.file)
	}
	return []byte(strings.Replace(string(text), m.old, m.other, 1))
}

// TestMutants: each fits the code as it is, its tests exist, and the catalogue tells of
// it. With -mutants each is built, and its test must fail; of those in mutants-vm.tsv the
// script mutants-vm does that.
func TestMutants(t *testing.T) {
	here, inVM := readMutants(t, "mutants.tsv"), readMutants(t, "mutants-vm.tsv")
	all := slices.Concat(here, inVM)
	tellCatalogue(t, all)
	for i, m := range all {
		t.Run(m.what, func(t *testing.T) {
			for _, test := range m.tests {
				if dir, name, _ := strings.Cut(test, "."); !exists(t, dir+"."+strings.Split(name, "/")[0]) {
					t.Fatalf("there is no test %s", test)
				}
			}
			source := m.source(t)
			if *runMutants && i < len(here) {
				t.Parallel()
				m.mustFail(t, source)
			}
		})
	}
}

// mustFail runs the mutant's test, with the broken file in place of the other.
func (m *mutant) mustFail(t *testing.T, source []byte) {
	t.Helper()
	broken := filepath.Join(t.TempDir(), filepath.Base(m.file))
	file, err := filepath.Abs(filepath.Join(root, m.file))
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{file: broken}})
	if err != nil {
		t.Fatal(err)
	}
	replace := filepath.Join(t.TempDir(), "overlay.json")
	for path, text := range map[string][]byte{broken: source, replace: overlay} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir, test, _ := strings.Cut(m.tests[0], ".")
	args := []string{"test", "-overlay", replace, "-count=1", "-timeout=2m", "-run", "^" + test + "$", "./" + dir}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	hangs := strings.Contains(string(out), "panic: test timed out") && strings.Contains(string(out), test)
	if err == nil || !hangs && !strings.Contains(string(out), "--- FAIL: "+test) {
		t.Errorf("%s does not fail: %v\n%s", test, err, out)
	}
}

// tellCatalogue: the last column of an attack has all of its mutants.
func tellCatalogue(t *testing.T, all []mutant) {
	t.Helper()
	const file = "catalogue.tsv"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	told := make(map[string][]string)
	for _, m := range all {
		for _, id := range m.ids {
			told[id] = append(told[id], m.what)
		}
	}
	var fresh []string
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) == 5 && !strings.HasPrefix(line, "#") {
			for _, what := range told[f[0]] {
				if !slices.Contains(strings.Split(f[4], "; "), what) {
					f[4] = strings.TrimPrefix(f[4]+"; "+what, "; ")
				}
			}
			delete(told, f[0])
		}
		fresh = append(fresh, strings.Join(f, "\t")+"\n")
	}
	for id := range told {
		t.Errorf("there is no attack %s", id)
	}
	if now := strings.Join(fresh, ""); now != string(text) {
		if !*updateMutants {
			t.Error("the catalogue does not tell of all mutants: testbed/go test ./testbed/attack -run TestMutants -update")
			return
		}
		if err := os.WriteFile(file, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
