// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// litter is left in each directory of a task: what the task's user makes in all
// forms, also those that only somebody else could remove, and N files.
const litter = `set -e
for dir in /local /alloc/data /secrets; do
	cd $dir
	mkdir -p own/sub closed/sub && echo x >own/sub/file && chmod 400 own/sub/file
	ln own/sub/file own/hardlink; ln -s /etc symlink; mkfifo fifo
	cp /usr/bin/true suid; chmod u+s suid 2>/dev/null || true
	mkdir sticky && touch sticky/file && chmod 1755 sticky
	mkdir -p $(printf 'd/%.0s' $(seq 1 300))
	mkdir many; ( cd many; seq 1 500 | xargs mkdir ); chmod 700 many
	chattr +i own/sub/file 2>/dev/null && echo immutable
	python3 - N <<'EOF'
import os, struct, sys
# By their mode nobody may do anything, by a POSIX ACL of version 2 a named user: of the
# directory and of what is made in it.
entry = lambda tag, perm, id=0xffffffff: struct.pack("<HHI", tag, perm, id)
acl = struct.pack("<I", 2) + entry(1, 0) + entry(2, 7, os.getuid()) + entry(4, 0) + entry(16, 7) + entry(32, 0)
os.makedirs("acl/sub"); open("acl/sub/file", "w").close()
for name in "system.posix_acl_default", "system.posix_acl_access":
    os.setxattr("acl/sub", name, acl)
    os.setxattr("acl", name, acl)
os.mkdir("files")
for n in range(int(sys.argv[1])):
    os.close(os.open("files/%d" % n, os.O_CREAT | os.O_WRONLY, 0))
os.chmod("files", 0)
EOF
	chmod 0 closed/sub closed
done
echo made`

// TestAgentRemovesWhatATaskLeft: an agent without privileges garbage-collects an
// allocation completely, whatever its task made in it as another user: also where
// ids cannot be mapped, so that all of it belongs to the task's user on disk.
func TestAgentRemovesWhatATaskLeft(t *testing.T) {
	files := 100_000 / 3 // in each of three directories
	if testing.Short() {
		files = 100
	}
	for name, owner := range map[string]string{"mapped": "nomad", "not mapped": "the task"} {
		t.Run(name, func(t *testing.T) {
			tk := script(strings.ReplaceAll(litter, "- N <<", fmt.Sprintf("- %d <<", files)))
			tk.Type, tk.Memory = "batch", 512 // the kernel's own for 100 000 files counts
			if owner != "nomad" {
				namespaces := run(t, "sysctl", "-n", "user.max_user_namespaces")
				t.Cleanup(func() { run(t, "sysctl", "-q", "-w", "user.max_user_namespaces="+namespaces) })
				run(t, "sysctl", "-q", "-w", "user.max_user_namespaces=0")
			}
			j := submit(t, tk)
			all := watch(t, "/job/"+j.id+"/allocations", func(a []allocation) bool { return len(a) > 0 })
			j.alloc = all[0].ID
			watchFor(t, 10*patience, "/allocation/"+j.alloc, func(a allocation) bool { return a.ended() })
			alloc := filepath.Join("/var/lib/nomad/alloc", j.alloc)
			if text := j.logs("stdout") + j.logs("stderr"); text != "made\n" {
				t.Fatalf("it printed %q", text)
			}
			if is := run(t, "stat", "-c", "%U", alloc+"/task/local/own"); (is == "nomad") != (owner == "nomad") {
				t.Errorf("on disk its directories belong to %s, want %s", is, owner)
			}
			run(t, "systemctl", "restart", "nomad.service") // with the allocation there
			driverHealth(t, healthy)
			j.purge()
			from := time.Now()
			call(t, "PUT", "/system/gc", nil, nil)
			for deadline := time.Now().Add(5 * patience); ; time.Sleep(200 * time.Millisecond) { // nothing tells of the removal
				if _, err := os.Stat(alloc); errors.Is(err, fs.ErrNotExist) {
					t.Logf("3 times %d files and more were removed in %.1f s", files, time.Since(from).Seconds())
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("after %s the agent has left\n%s", 5*patience, run(t, "find", alloc, "-maxdepth", "4"))
				}
			}
		})
	}
}
