// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"io"
	"os"

	"nomad-systemd-driver/broker/policy"
)

const testAbout = `Usage: systemd-brokerd policy test [flags]

Asks the policy the requests of the *.policytest.hcl files beside it, and compares
the answers with those they expect. If all are right, each part of each rule and
each never is taken out once, to see whether a test notices.

Exit status: 0 all tests pass (and, with --strict, notice everything), 1 not,
2 the policy, a test or the command line is wrong.`

func policyTest(args []string, _ io.Reader, stdout, stderr io.Writer) error {
	flags := newFlags("systemd-brokerd policy test", testAbout, stderr)
	dir := flags.String("policy", defaultPolicyDir, "directory with the policy's *.hcl files")
	tests := flags.String("tests", "", "directory with *.policytest.hcl files (default: that of the policy)")
	strict := flags.Bool("strict", false, "fail if a part can be taken out and no test notices")
	asJSON := flags.Bool("json", false, "print JSON")
	var host hostFiles
	host.flags(flags)
	if err := parse(flags, args); err != nil {
		return err
	}
	if *tests == "" {
		tests = dir
	}
	p, err := host.read(*dir)
	if err != nil {
		return mistake(err)
	}
	all, err := policy.LoadTests(os.DirFS(*tests))
	if err != nil {
		return mistake(err)
	}
	if len(all) == 0 {
		return mistake(fmt.Errorf("%s holds no test; write some into a file NAME.policytest.hcl (docs/policy-tools.md)", *tests))
	}
	report := newTestReport(p.RunTests(all))
	if *asJSON {
		err = encodeJSON(stdout, report)
	} else {
		report.print(stdout)
	}
	if err != nil {
		return err
	}
	if report.Failed > 0 || *strict && report.Noticed < len(report.Mutants) {
		return errDenied
	}
	return nil
}

// testReport is a report as it is printed.
type testReport struct {
	Tests   []testJSON   `json:"tests"`
	Failed  int          `json:"failed"`
	Mutants []mutantJSON `json:"mutants"`
	Noticed int          `json:"noticed"`
}

type testJSON struct {
	Name    string `json:"name"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Passed  bool   `json:"passed"`
	Problem string `json:"problem,omitempty"`
}

type mutantJSON struct {
	Block     string `json:"block"`
	File      string `json:"file"`
	Line      int    `json:"line"`
	Change    string `json:"change"`
	NoticedBy string `json:"noticed_by,omitempty"`
}

func newTestReport(r *policy.TestReport) *testReport {
	out := &testReport{Failed: r.Failed, Tests: []testJSON{}, Mutants: []mutantJSON{}}
	for _, res := range r.Results {
		out.Tests = append(out.Tests, testJSON{res.Test.Name, res.Test.File, res.Test.Line, res.Problem == "", res.Problem})
	}
	for _, m := range r.Mutants {
		out.Mutants = append(out.Mutants, mutantJSON{m.Block, m.File, m.Line, m.Change, m.KilledBy})
		if m.KilledBy != "" {
			out.Noticed++
		}
	}
	return out
}

func (r *testReport) print(stdout io.Writer) {
	paint := newPainter(stdout)
	for _, t := range r.Tests {
		if !t.Passed {
			fmt.Fprintf(stdout, "%s:%d: test %q %s: %s\n", t.File, t.Line, t.Name, paint.bad("fails"), t.Problem)
		}
	}
	passed := fmt.Sprintf("%d of %d tests pass", len(r.Tests)-r.Failed, len(r.Tests))
	if r.Failed > 0 {
		passed = paint.bad(passed)
	} else {
		passed = paint.good(passed)
	}
	fmt.Fprintln(stdout, passed)
	if r.Failed > 0 {
		return
	}
	for _, m := range r.Mutants {
		if m.NoticedBy == "" {
			fmt.Fprintf(stdout, "%s:%d: %s: %s, %s\n", m.File, m.Line, paint.warn("no test notices"), m.Block, m.Change)
		}
	}
	fmt.Fprintf(stdout, "%d of %d parts of the policy are tested\n", r.Noticed, len(r.Mutants))
}
