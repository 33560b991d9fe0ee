// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"nomad-systemd-driver/broker/policy"
)

const oneClient = `version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 1000
}
`

// twoRules has two rules that differ in every part.
const twoRules = oneClient + `
rule "a" {
  client      = "nomad"
  log_drivers = ["fds"]

  exec {
    under = ["/local"]
  }

  run_as {
    users = ["app"]
  }

  limits {
    memory_max = "1GiB"
    tasks_max  = 8
  }
}

rule "b" {
  client      = "nomad"
  log_drivers = ["journal"]

  exec {
    under = ["/alloc"]
  }

  run_as {
    dynamic_user = true
  }

  limits {
    memory_unlimited = true
    tasks_max        = 4
  }
}
`

// TestNoTwoRulesAllowTogetherWhatNeitherAllows mixes the parts of a request
// that rule a allows with those of one that rule b allows, in every way.
func TestNoTwoRulesAllowTogetherWhatNeitherAllows(t *testing.T) {
	p := load(t, twoRules)
	parts := []struct {
		name string
		a, b func(*policy.Request)
	}{
		{"command", func(r *policy.Request) { r.Command = "/local/x" }, func(r *policy.Request) { r.Command = "/alloc/x" }},
		{"user", func(r *policy.Request) { r.User = "app" }, func(r *policy.Request) { r.User = "" }},
		{"tasks", func(r *policy.Request) { r.Resources.TasksMax = 8 }, func(r *policy.Request) { r.Resources.TasksMax = 4 }},
		{"memory", func(r *policy.Request) { r.Resources.MemoryMax = 1 << 20 }, func(r *policy.Request) {
			r.Resources.MemoryMax, r.Resources.MemoryUnlimited = 0, true
		}},
		{"log driver", func(r *policy.Request) { r.LogDriver = policy.LogFDs }, func(r *policy.Request) { r.LogDriver = policy.LogJournal }},
	}
	const (
		all           = 1<<5 - 1
		tasks, memory = 1 << 2, 1 << 3
	)
	for mix := range 1 << len(parts) {
		r := allowedRequest()
		var names []string
		for i, part := range parts {
			if mix&(1<<i) == 0 {
				part.a(r)
			} else {
				part.b(r)
				names = append(names, part.name)
			}
		}
		want := ""
		switch mix {
		case 0, tasks: // 4 tasks are within rule a's limit too
			want = "a"
		case all, all - memory: // a limit is within rule b's lack of one
			want = "b"
		}
		d, err := p.Decide(policy.Peer{UID: nomadUID}, r)
		switch {
		case want == "" && err == nil:
			t.Errorf("%v as in rule b and the rest as in rule a is allowed by %q, want a denial", names, d.Rule())
		case want != "" && (err != nil || d.Rule() != want):
			t.Errorf("%v as in rule b and the rest as in rule a: %v, want it allowed by %q", names, err, want)
		}
	}
}

// TestOrderOfRulesAndFilesChangesNothing puts the blocks of a policy in random
// order into random files.
func TestOrderOfRulesAndFilesChangesNothing(t *testing.T) {
	var blocks []string
	for i := range 12 {
		blocks = append(blocks, fmt.Sprintf("rule \"r%02d\" {\n client = \"nomad\"\n log_drivers = [\"fds\"]\n"+
			"exec {\n under = [\"/local\"]\n}\nrun_as {\n dynamic_user = true\n}\nlimits {\n tasks_max = %d\n}\n}\n", i, 100+i))
	}
	blocks = append(blocks, regexp.MustCompile(`(?ms)^client.*?^\}\n`).FindAllString(oneClient, -1)...)
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		random.Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
		files := fstest.MapFS{}
		for _, b := range blocks {
			name := fmt.Sprintf("%d.hcl", random.IntN(4))
			if files[name] == nil {
				files[name] = &fstest.MapFile{Data: []byte("version = 1\n")}
			}
			files[name].Data = append(files[name].Data, b...)
		}
		p, err := policy.Load(files, host(t), nil)
		if err != nil {
			t.Fatalf("Load: %v", err)
		}
		d, err := p.Decide(policy.Peer{UID: nomadUID}, allowedRequest())
		if err != nil || d.Rule() != "r00" || d.TasksMax() != 100 {
			t.Fatalf("Decide: %v, want rule r00 and 100 tasks, whatever the order", err)
		}
	}
}

func TestHashSpeaksOfNamesAndContents(t *testing.T) {
	hash := func(files ...string) string {
		fsys := fstest.MapFS{}
		for i := 0; i < len(files); i += 2 {
			fsys[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
		}
		p, err := policy.Load(fsys, host(t), nil)
		if err != nil {
			t.Fatalf("Load: %v", err)
		}
		return p.SHA256()
	}
	base := hash("a.hcl", twoRules)
	if again := hash("a.hcl", twoRules); again != base || len(base) != 64 {
		t.Errorf("the hash of the same files is %q and %q, want the same 64 digits", base, again)
	}
	for what, other := range map[string]string{
		"another name":   hash("b.hcl", twoRules),
		"a comment more": hash("a.hcl", twoRules+"#"),
		"a file more":    hash("a.hcl", twoRules, "b.hcl", "version = 1"),
	} {
		if other == base {
			t.Errorf("the hash is the same with %s", what)
		}
	}
	one := hash("a.hcl", twoRules+"# b.hclversion = 1\n")
	if two := hash("a.hcl", twoRules+"# ", "b.hcl", "version = 1\n"); one == two {
		t.Error("the hash of two files is that of one which holds the name and text of both")
	}
	if ignored := hash("a.hcl", twoRules, "README", "x", ".a.hcl", "x", "b.hcl.bak", "x", "d/c.hcl", "x"); ignored != base {
		t.Error("the hash changes with files that are not of the policy")
	}
}

// thousandRules is a policy of which only the last rule allows the request.
func thousandRules() string {
	var b strings.Builder
	b.WriteString(oneClient)
	for i := range 1000 {
		fmt.Fprintf(&b, "rule \"rule-%04d\" {\n client = \"nomad\"\n log_drivers = [\"fds\"]\nexec {\n under = [\"/local\", \"/usr/bin\"]\n}\n"+
			"run_as {\n dynamic_user = true\n users = [\"app\", \"www-data\"]\n system_users = true\n}\nlimits {\n tasks_max = %d\n}\n}\n", i, 1+i)
	}
	return b.String()
}

func BenchmarkDecideWithThousandRules(b *testing.B) {
	p := load(b, thousandRules())
	r := allowedRequest()
	for _, row := range []struct {
		name  string
		tasks uint64
		want  string
	}{{"the last allows", 1000, ""}, {"none allows", 1001, "resources"}} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			r.Resources.TasksMax = row.tasks
			for b.Loop() {
				if _, err := p.Decide(policy.Peer{UID: nomadUID}, r); subject(err) != row.want {
					b.Fatalf("Decide: %v, want subject %q", err, row.want)
				}
			}
		})
	}
}
