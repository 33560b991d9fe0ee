// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"nomad-systemd-driver/broker/policy"
)

// TestShippedPolicies runs the tests beside each policy that comes with the
// project, and wants them to notice every part that is taken out.
func TestShippedPolicies(t *testing.T) {
	dirs, err := filepath.Glob("../../examples/policies/*/10-nomad.hcl")
	if err != nil || len(dirs) < 5 {
		t.Fatalf("found %v, %v", dirs, err)
	}
	var rows []string
	for _, path := range append(dirs, starterPolicy+"/10-nomad.hcl") {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			p, err := policy.Load(os.DirFS(dir), host(t), nil)
			if err != nil {
				t.Fatal(err)
			}
			tests, err := policy.LoadTests(os.DirFS(dir))
			if err != nil || len(tests) == 0 {
				t.Fatalf("LoadTests: %d tests, %v", len(tests), err)
			}
			report := p.RunTests(tests)
			for _, r := range report.Results {
				if r.Problem != "" {
					t.Errorf("%s:%d: test %q: %s", r.Test.File, r.Test.Line, r.Test.Name, r.Problem)
				}
			}
			for _, m := range report.Mutants {
				if m.KilledBy == "" {
					t.Errorf("%s:%d: no test notices: %s, %s", m.File, m.Line, m.Block, m.Change)
				}
			}
			noticed := len(report.Mutants)
			for _, m := range report.Mutants {
				if m.KilledBy == "" {
					noticed--
				}
			}
			rows = append(rows, fmt.Sprintf("| %s | %d | %d | %d of %d |", filepath.Base(dir), len(p.Explain(policy.Peer{UID: nomadUID}, allowedRequest()).Rules), len(tests), noticed, len(report.Mutants)))
		})
	}
	coverageIs(t, rows)
}

const coverageHead = "| policy | rules | tests | parts that a test notices |\n|---|---|---|---|\n"

// coverageIs compares the table at the end of examples/policies/README.md, or writes it.
func coverageIs(t *testing.T, rows []string) {
	t.Helper()
	const page = "../../examples/policies/README.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, is, ok := strings.Cut(string(text), coverageHead)
	if want := strings.Join(rows, "\n") + "\n"; *update {
		if err := os.WriteFile(page, []byte(before+coverageHead+want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !ok || is != want {
		t.Errorf("the table in %s is\n%s, want\n%s (run with -update)", page, is, want)
	}
}

// TestTutorial holds the policy and the tests of docs/policy-tutorial.md to what it
// says of them.
func TestTutorial(t *testing.T) {
	tutorial, err := os.ReadFile("../../docs/policy-tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(tutorial), "```hcl\n")
	starter, err := os.ReadFile(starterPolicy + "/10-nomad.hcl")
	if err != nil || len(blocks) != 3 {
		t.Fatalf("%d blocks, %v", len(blocks), err)
	}
	rule, _, _ := strings.Cut(blocks[1], "```")
	texts, _, _ := strings.Cut(blocks[2], "```")
	p, err := policy.Load(fstest.MapFS{"10-nomad.hcl": {Data: starter}, "20-report.hcl": {Data: []byte(rule)}}, host(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := policy.LoadTests(fstest.MapFS{"a.policytest.hcl": {Data: []byte(texts)}})
	if err != nil {
		t.Fatal(err)
	}
	report := p.RunTests(tests)
	if len(tests) != 2 || report.Failed > 0 {
		t.Errorf("%d tests, %d fail", len(tests), report.Failed)
	}
	for _, m := range report.Mutants {
		line := "no test notices: " + m.Block + ", " + m.Change
		if m.Block == `rule "report"` && (m.KilledBy == "") != strings.Contains(string(tutorial), line) {
			t.Errorf("of %q the tutorial says the contrary (noticed by %q)", line, m.KilledBy)
		}
	}
}

const policyOfTheTests = oneClient + `
rule "r" {
  client      = "nomad"
  log_drivers = ["fds", "journal"]
  exec {
    under = ["/local"]
  }
  run_as {
    dynamic_user = true
  }
  labels {
    NAMESPACE = ["a"]
  }
}

never "n" {
  args {
    any = ["-x"]
  }
}
`

// tested runs tests against policyOfTheTests.
func tested(t *testing.T, tests string) *policy.TestReport {
	t.Helper()
	all, err := policy.LoadTests(fstest.MapFS{"a.policytest.hcl": {Data: []byte("version = 1\n" + tests)}})
	if err != nil {
		t.Fatal(err)
	}
	return load(t, policyOfTheTests).RunTests(all)
}

func TestTestsFailOnOtherAnswers(t *testing.T) {
	for name, row := range map[string]struct{ test, problem string }{
		"allowed":        {"command = \"/local/x\"\nallow = \"r\"\nlabels {\nNAMESPACE = \"a\"\n}", ""},
		"another rule":   {"command = \"/local/x\"\nallow = \"s\"\nlabels {\nNAMESPACE = \"a\"\n}", `allowed by rule "r"`},
		"not denied":     {"command = \"/local/x\"\ndeny = \"args\"\nlabels {\nNAMESPACE = \"a\"\n}", `allowed by rule "r"`},
		"denied":         {"command = \"/local/x\"\ndeny = \"labels\"", ""},
		"not allowed":    {"command = \"/local/x\"\nallow = \"r\"", `denied: labels`},
		"another reason": {"command = \"/local/x\"\nargs = [\"-x\"]\ndeny = \"user\"", `denied: args`},
		"forbidden":      {"command = \"/local/x\"\nargs = [\"-x\"]\nnever = \"n\"", ""},
		"by no never":    {"command = \"/local/x\"\nnever = \"n\"", "denied: labels"},
		"not by rules":   {"command = \"/local/x\"\nargs = [\"-x\"]\ndeny = \"args\"", "denied: args"},
		"no such client": {"command = \"/local/x\"\nclient = \"x\"\ndeny = \"client\"", `no client "x"`},
	} {
		report := tested(t, "test \""+name+"\" {\n"+row.test+"\n}\n")
		if got := report.Results[0].Problem; (got == "") != (row.problem == "") || !strings.Contains(got, row.problem) {
			t.Errorf("%s: %q, want %q", name, got, row.problem)
		}
		if (report.Failed == 0) != (row.problem == "") || report.Failed > 0 && len(report.Mutants) > 0 {
			t.Errorf("%s: %d failed, %d mutants", name, report.Failed, len(report.Mutants))
		}
	}
}

// TestVolumesAndGroupsCanBeTested: each part of a rule that speaks of them can be
// noticed.
func TestVolumesGroupsAndFilesCanBeTested(t *testing.T) {
	const rest = "command = \"/local/x\"\nuser = \"app\"\n"
	tests, err := policy.LoadTests(fstest.MapFS{"a.policytest.hcl": {Data: []byte("version = 1\n" +
		"test \"group\" {\n" + rest + "group = \"media\"\nallow = \"r\"\n}\n" +
		"test \"further group\" {\n" + rest + "supplementary_groups = [\"media\"]\nallow = \"r\"\n}\n" +
		"test \"other group\" {\n" + rest + "group = \"daemon\"\ndeny = \"group\"\n}\n" +
		"test \"volumes\" {\n" + rest + "volumes {\nread_only = [\"/srv/web\"]\nread_write = [\"/srv/data\"]\n}\nallow = \"r\"\n}\n" +
		"test \"volume to write\" {\n" + rest + "volumes {\nread_write = [\"/srv/web\"]\n}\ndeny = \"volume\"\n}\n" +
		"test \"image\" {\n" + rest + "rootfs = \"image\"\nimage = \"/srv/images/a\"\nallow = \"r\"\n}\n" +
		"test \"other image\" {\n" + rest + "rootfs = \"image\"\nimage = \"/srv/b\"\ndeny = \"rootfs\"\n}\n" +
		"test \"host\" {\n" + rest + "rootfs = \"host\"\nallow = \"r\"\n}\n" +
		"test \"device\" {\n" + rest + "rootfs = \"host\"\ndevices = [\"/dev/fuse\"]\nallow = \"r\"\n}\n" +
		"test \"other device\" {\n" + rest + "rootfs = \"host\"\ndevices = [\"/dev/kvm\"]\ndeny = \"device\"\n}\n" +
		"test \"minimal\" {\n" + rest + "allow = \"r\"\n}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	report := load(t, oneClient+aRule("r", `under = ["/local"]`, "users = [\"app\"]\ngroups = [\"media\"]",
		"volumes {\nread_only = [\"/srv/web\"]\nread_write = [\"/srv/data\"]\n}\n"+
			"rootfs = [\"minimal\", \"host\", \"image\"]\nimages = [\"/srv/images\"]\ndevices = [\"/dev/fuse\"]\n")).RunTests(tests)
	for _, r := range report.Results {
		if r.Problem != "" {
			t.Errorf("test %q: %s", r.Test.Name, r.Problem)
		}
	}
	for _, m := range report.Mutants {
		if m.KilledBy == "" {
			t.Errorf("no test notices: %s", m.Change)
		}
	}
	if len(report.Mutants) < 11 {
		t.Errorf("only %d mutants", len(report.Mutants))
	}
}

func TestMutantsThatNoTestNotices(t *testing.T) {
	report := tested(t, `
test "allowed" {
  command = "/local/x"
  allow   = "r"
  labels {
    NAMESPACE = "a"
  }
}
`)
	var unnoticed []string
	for _, m := range report.Mutants {
		if m.KilledBy == "" {
			unnoticed = append(unnoticed, m.Block+" "+m.Change)
		}
	}
	want := `rule "r" log_drivers without "journal"|rule "r" labels without NOMAD_NAMESPACE|never "n" taken out`
	if got := strings.Join(unnoticed, "|"); got != want {
		t.Errorf("unnoticed are\n%s, want\n%s", got, want)
	}
	if len(report.Mutants) != 7 {
		t.Errorf("%d mutants, want 7", len(report.Mutants))
	}
}

func TestMistakesInTestsAreExplained(t *testing.T) {
	for text, want := range map[string]string{
		"test \"a\" {\n}": "needs one of allow",
		"test \"a\" {\nallow = \"r\"\ndeny = \"x\"\n}": "needs one of allow",
		"test \"a\" {\nallow = \"r\"\n}":               "lacks command",
		"test \"a\" {\ncommand = \"/x\"\nallow = \"r\"\n}\ntest \"a\" {\ncommand = \"/x\"\nallow = \"r\"\n}": "there twice",
		"test {\n}":       "takes one name",
		"rule \"a\" {\n}": "unknown block",
		"test \"a\" {\ncommand = \"/x\"\nallow = \"r\"\nnetwork = \"x\"\n}":                 "not a network",
		"test \"a\" {\ncommand = \"/x\"\nallow = \"r\"\ndirectives {\nNice = [\"x\"]\n}\n}": "Nice",
		"test \"a\" {\ncommand = \"/x\"\nallow = \"r\"\ndirectives {\nNix = [\"x\"]\n}\n}":  "no directive Nix",
	} {
		_, err := policy.LoadTests(fstest.MapFS{"a.policytest.hcl": {Data: []byte("version = 1\n" + text + "\n")}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "a.policytest.hcl:") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestTestsAreNoPartOfThePolicy(t *testing.T) {
	files := fstest.MapFS{"a.hcl": {Data: []byte(oneClient)}}
	before, err := policy.Load(files, host(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	files["a.policytest.hcl"] = &fstest.MapFile{Data: []byte("not even HCL {")}
	after, err := policy.Load(files, host(t), nil)
	if err != nil || after.SHA256() != before.SHA256() {
		t.Errorf("with a file of tests: %v", err)
	}
}

func FuzzLoadTests(f *testing.F) {
	files, err := filepath.Glob("../../examples/policies/*/*.policytest.hcl")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	p := load(f, policyOfTheTests)
	f.Fuzz(func(_ *testing.T, text []byte) {
		tests, err := policy.LoadTests(fstest.MapFS{"a.policytest.hcl": {Data: text}})
		if err == nil {
			p.RunTests(tests)
		}
	})
}
