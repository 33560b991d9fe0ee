// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSummaryTellsWhatIsMissing: a test that failed, or did not run in each of the
// VMs, counts against the attack that names it.
func TestSummaryTellsWhatIsMissing(t *testing.T) {
	table := filepath.Join(t.TempDir(), "table")
	out, err := exec.CommandContext(t.Context(), "awk", "-f", "summary.awk", "distros=bookworm trixie", "steps=unit fuzz vm", "table="+table,
		"kind=catalogue", "testdata/catalogue", "kind=unit", "testdata/unit", "kind=fuzz", "testdata/fuzz", "kind=vm", "testdata/vm").Output()
	if err == nil {
		t.Error("a test that failed is no error")
	}
	attacks, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(out)+string(attacks)), " ")
	for _, want := range []string{
		"ATTACK X2: broker.TestBad failed;",
		"ATTACK X3: testbed/e2e.TestOnceOnly did not run;",
		"ATTACK X4: broker.TestMissing did not run;",
		"attacks in the catalogue 7",
		"all of their tests passed 2",
		"FUZZING FAILED broker.FuzzOthers",
		"failed or did not run 4",
		"still 1 X5",
		"void 1 X6",
		"tests passed 6",
		"tests failed 1",
		"fuzz executions 1234",
		"broker.FuzzThings 1234",
		"storm/rss 12.5 MB trixie",
		"| X2 | **lost**: broker.TestBad failed; |",
		"| X6 | void |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the summary lacks %q:\n%s", want, out)
		}
	}
}
