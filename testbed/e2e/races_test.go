// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// operations are all of the broker's that take a path which a client can change
// (devices, network namespaces, host programs and signatures must be root's alone, all
// the way; descriptors are handed over, and no path of theirs is opened), each with
// what may be done to it.
var operations = []struct {
	name     string
	prepare  func(t *testing.T, s *site)
	spinners []string
}{
	{"task-directory", func(_ *testing.T, s *site) { s.path = s.dirs.GetLocal() }, []string{"exchange", "symlink", "fifo", "foreign", "mount"}},
	{"parent-of-task-directories", func(_ *testing.T, s *site) { s.path = filepath.Dir(s.dirs.GetLocal()) }, []string{"exchange", "symlink", "fifo", "foreign", "mount"}},
	{"volume", func(t *testing.T, s *site) { s.volume(t, "/opt", &brokerv1.Volume{}) }, []string{"exchange", "symlink", "fifo", "mount"}},
	{"read-only-volume", func(t *testing.T, s *site) { s.volume(t, readOnly, &brokerv1.Volume{ReadOnly: true}) }, []string{"exchange", "symlink", "fifo", "mount"}},
	{"image", func(t *testing.T, s *site) { s.image(t) }, []string{"exchange", "symlink", "fifo"}},
	{"credential", func(t *testing.T, s *site) { s.key(t) }, []string{"exchange", "symlink", "fifo", "hardlink"}},
	{"session", func(t *testing.T, s *site) { s.sessions(t) }, []string{"exchange", "symlink", "fifo", "foreign", "mount"}},
	// Without the namespaces that a mapping takes a client cannot mount either.
	{"opening", func(t *testing.T, s *site) { s.opens(t) }, []string{"exchange", "symlink", "fifo", "foreign"}},
}

// volume shows the task what is at a path that the client can change.
func (s *site) volume(t *testing.T, parent string, v *brokerv1.Volume) {
	t.Helper()
	s.path = s.theirs(t, parent)
	v.Source, v.Destination = s.path, "/data"
	s.searches(t, "/data/canary")
	s.spec.Volumes = []*brokerv1.Volume{v}
}

// image is a disk image of root's, in a directory of the client's.
func (s *site) image(t *testing.T) {
	t.Helper()
	s.volume(t, "/srv/e2e/images", &brokerv1.Volume{Image: true})
	must(t, os.Remove(s.path))
	secret := s.secret + ".image"
	t.Cleanup(func() { _ = os.Remove(secret) })
	run(t, "mksquashfs", s.secret+"/closed", secret, "-quiet", "-no-progress", "-noappend")
	run(t, "mksquashfs", s.dirs.GetAlloc(), s.path, "-quiet", "-no-progress", "-noappend")
	must(t, os.Chmod(s.path, 0o644), os.Chmod(secret, 0o644))
	s.secret = secret
}

// TestRaces: whatever a client does meanwhile to what it asks the broker to take, no
// task sees anything that is not the client's to show, and root and others change
// nothing elsewhere.
func TestRaces(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 5
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%-28s %-10s %9s %7s %8s\n", "operation", "attack", "changes", "starts", "refusals")
	asked, started := 0, 0
	for _, op := range operations {
		before, refused := asked, 0
		for _, attack := range op.spinners {
			t.Run(op.name+"/"+attack, func(t *testing.T) {
				s := newSite(t)
				op.prepare(t, s)
				step := spinners[attack](t, s)
				before := snapshot(t, s.secret)
				stop := spin(t, s, step)
				starts, refusals := 0, 0
				for range rounds {
					switch s.ask(t) {
					case 0:
						t.Error("a task has read what is not its client's")
					case -1:
						refusals++
					default:
						starts++
					}
				}
				changes := stop()
				fmt.Fprintf(&table, "%-28s %-10s %9d %7d %8d\n", op.name, attack, changes, starts, refusals)
				t.Logf("FIGURE race/%s/%s %d changes", op.name, attack, changes)
				if after := snapshot(t, s.secret); after != before {
					t.Errorf("what the client cannot reach was\n%sand is\n%s", before, after)
				}
				if attack == "mount" && refusals > 0 {
					t.Errorf("mounts that nobody else can see refuse %d starts", refusals)
				}
				if attack != "mount" {
					asked, started, refused = asked+rounds, started+starts, refused+refusals
				}
			})
		}
		if refused == 0 && asked > before {
			t.Errorf("%s: the race was never near: nothing is refused", op.name)
		}
	}
	if started == 0 && asked > 0 {
		t.Error("the races were never near: all is refused")
	}
	t.Logf("What the client changed while the broker took it:\n%s", table.String())
}
