// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// takeUIDs takes those of systemd's dynamic range that are free, all but some, as
// systemd does it: with a lock on a file. It returns what gives them back.
func takeUIDs(t *testing.T, free int) (giveBack func()) {
	t.Helper()
	var files []*os.File
	giveBack = func() {
		for _, f := range files {
			if err := errors.Join(os.Remove(f.Name()), f.Close()); err != nil {
				t.Error(err)
			}
		}
		files = nil
	}
	t.Cleanup(func() { giveBack() })
	for uid := 61184 + free; uid <= 65519; uid++ {
		f, err := os.OpenFile(fmt.Sprint("/run/systemd/dynamic-uid/", uid), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			_ = f.Close() // somebody has it
			continue
		}
		if was, err := f.Stat(); err != nil {
			t.Fatal(err)
		} else if is, err := os.Stat(f.Name()); err != nil || !os.SameFile(was, is) {
			_ = f.Close() // systemd has removed it meanwhile, as it removes those of tasks that end
			uid--
			continue
		}
		files = append(files, f)
	}
	return giveBack
}

// TestTaskFindsAFreeUID where nearly all are taken, and its directories are mapped to
// it: it reads a file that the agent wrote for its owner alone.
func TestTaskFindsAFreeUID(t *testing.T) {
	if err := os.MkdirAll("/run/systemd/dynamic-uid", 0o755); err != nil {
		t.Fatal(err)
	}
	giveBack := takeUIDs(t, 40)
	tk := script("cat /secrets/key; id -u")
	tk.Templates = append(tk.Templates, template{Path: "secrets/key", Text: "opened\n", Perms: "0600"})
	out, events := result(t, tk)
	var uid int
	if _, err := fmt.Sscanf(out, "opened\n%d\n", &uid); err != nil || uid < 61184 || uid >= 61184+40 {
		t.Errorf("it prints %q, and not what is in a file of its user's, and one of 40 uids; events:\n%s", out, events)
	}
	giveBack()

	giveBack = takeUIDs(t, 0)
	tk = script("id -u")
	tk.Type, tk.Restarts = "batch", 100
	j := submitAs(t, "no-uid-is-free", tk)
	const want = "all 4336 uids that systemd has for tasks without a user (61184 to 65519) are taken"
	all := watch(t, "/job/"+j.id+"/allocations", func(a []allocation) bool {
		return len(a) > 0 && slices.ContainsFunc(a[0].TaskStates["task"].Events, func(e event) bool { return strings.Contains(e.DisplayMessage, want) })
	})
	j.alloc = all[0].ID
	giveBack()
	j.await("complete") // Nomad has tried again
}
