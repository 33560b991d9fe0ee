// SPDX-License-Identifier: MPL-2.0

package migrate

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"nomad-systemd-driver/broker/policy"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestReports(t *testing.T) {
	jobs, err := filepath.Glob("testdata/*.json")
	if err != nil || len(jobs) == 0 {
		t.Fatalf("found %v, %v", jobs, err)
	}
	for _, name := range jobs {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Read(text)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			fmt.Fprintf(&b, "job %s, supported: %v\n", r.Job, r.Supported())
			for _, f := range r.Findings {
				fmt.Fprintf(&b, "%s %s/%s: %s\n", f.Level, f.Group, f.Task, f.Text)
			}
			b.WriteString("\n" + r.Policy)
			golden := strings.TrimSuffix(name, ".json") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if b.String() != string(want) {
				t.Errorf("got\n%s\nwant\n%s", b.String(), want)
			}
			if r.Policy != "" {
				loads(t, r.Policy)
			}
		})
	}
}

// loads fails unless the draft is a policy, together with a client.
func loads(t *testing.T, draft string) {
	t.Helper()
	client := `
client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 10
}
`
	if _, err := policy.Load(fstest.MapFS{"p.hcl": &fstest.MapFile{Data: []byte(draft + client)}}, everybody{}, nil); err != nil {
		t.Errorf("the draft is not a policy: %v\n%s", err, draft)
	}
}

type everybody struct{}

func (everybody) User(name string) (policy.User, error) {
	if name == clientUser {
		return policy.User{Name: name, UID: 991, GID: 991}, nil
	}
	return policy.User{Name: name, UID: 1000 + uint32(len(name)), GID: 1000 + uint32(len(name))}, nil
}
func (everybody) Group(string) (uint32, error) { return 0, policy.ErrUnknown }

func TestWhatIsNoJobIsRefused(t *testing.T) {
	for _, text := range []string{"", "job \"x\" {}", "[]", "{}", `{"Job": null}`, `{"Job": {"ID": "x"}}`} {
		if r, err := Read([]byte(text)); err == nil {
			t.Errorf("%q gives %+v", text, r)
		}
	}
}

// FuzzRead: whatever a job says, a draft of a policy is one.
func FuzzRead(f *testing.F) {
	jobs, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range jobs {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Read(text)
		if err != nil {
			return
		}
		if _, err := json.Marshal(r); err != nil {
			t.Error(err)
		}
		if r.Policy != "" {
			loads(t, r.Policy)
		}
	})
}
