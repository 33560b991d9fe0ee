// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// TestRemovalTakesBackWhatIsTheAgents, and of the shared directory only when no other
// task of the allocation runs.
func TestRemovalTakesBackWhatIsTheAgents(t *testing.T) {
	for name, tt := range map[string]struct {
		user, otherUser, otherAlloc string
		otherEnded                  bool
		alloc                       os.FileMode
		keep                        bool
	}{
		"alone":                                 {otherAlloc: "another", alloc: 0o700},
		"beside another":                        {alloc: 0o500},
		"beside one that has ended":             {otherEnded: true, alloc: 0o700},
		"beside one of the same user":           {user: "app", otherUser: "app", alloc: 0o500, keep: true},
		"beside one of another user":            {user: "app", otherUser: "web", alloc: 0o500},
		"beside one, both with ephemeral users": {alloc: 0o500},
	} {
		t.Run(name, func(t *testing.T) {
			d := &Driver{tasks: map[string]*task{}}
			c := newTaskConfig(t, TaskConfig{Command: "/bin/a"})
			c.User = tt.user
			ended := d.add(newTask(c, &brokerv1.Handle{Unit: "u"}, time.Now()))
			ended.lose()
			beside := c.Copy()
			beside.ID, beside.User = c.ID+"/other", tt.otherUser
			if tt.otherAlloc != "" {
				beside.AllocID = tt.otherAlloc
			}
			other := d.add(newTask(beside, &brokerv1.Handle{Unit: "o"}, time.Now()))
			if tt.otherEnded {
				other.lose()
			}
			dirs := []string{c.TaskDir().LocalDir, c.TaskDir().SecretsDir, c.TaskDir().SharedAllocDir}
			for i, dir := range dirs {
				dirs[i] = filepath.Join(dir, "a")
				if err := os.MkdirAll(dirs[i], 0o500); err != nil {
					t.Fatal(err)
				}
			}
			req := d.removal(ended)
			if req.GetOpen() != nil || req.GetHandle() != ended.handle {
				t.Errorf("it asks for %v", req)
			}
			for i, want := range []os.FileMode{0o700, 0o700, tt.alloc} {
				if st, err := os.Stat(dirs[i]); err != nil || st.Mode().Perm() != want {
					t.Errorf("%s is %v, %v; want %v", dirs[i], st.Mode(), err, want)
				}
			}
			if _, same := d.siblings(ended); same != tt.keep {
				t.Errorf("the shared directory is to be kept: %t", same)
			}
		})
	}
}
