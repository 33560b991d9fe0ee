// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// litter is left in each directory of a task: what the task's user makes in all
// forms, also those that only somebody else could remove, a path of DEPTH names, too
// long for the kernel to take at once, more directories than one look shows, with odd
// names among them, and N files.
const litter = `set -e
for dir in /local /alloc/data /secrets; do
	cd $dir
	mkdir -p own/sub closed/sub && echo x >own/sub/file && chmod 400 own/sub/file
	ln own/sub/file own/hardlink; ln -s /etc symlink; mkfifo fifo
	cp /usr/bin/true suid; chmod u+s suid 2>/dev/null || true
	mkdir sticky && touch sticky/file && chmod 1755 sticky
	mkdir -p $(printf 'd/%.0s' $(seq 1 300))
	python3 -c 'import os
for n in range(DEPTH): os.mkdir("x" * 20); os.chdir("x" * 20)'
	mkdir many; ( cd many; odd=$(printf 'new\nline\033[7m\377'); mkdir "$odd"; touch "$odd/file"
	seq -f %.0f-x 1 MANY | xargs mkdir; seq -f %.0f-x/file 1 MANY | xargs touch ); chmod 700 many
	chattr +i own/sub/file 2>/dev/null && echo immutable
	python3 - N <<'EOF'
import os, struct, sys
# By their mode nobody may do anything, by a POSIX ACL of version 2 a named user, and the
# agent may not: of the directory and of what is made in it.
entry = lambda tag, perm, id=0xffffffff: struct.pack("<HHI", tag, perm, id)
acl = struct.pack("<I", 2) + entry(1, 0) + entry(2, 7, os.getuid()) + entry(2, 0, AGENT) + entry(4, 0) + entry(16, 7) + entry(32, 0)
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
echo made; exec sleep 3600`

// TestAgentRemovesWhatATaskLeft: an agent without privileges garbage-collects an
// allocation completely, whatever its task made in it as another user: also where
// ids cannot be mapped, so that all of it belongs to the task's user on disk.
func TestAgentRemovesWhatATaskLeft(t *testing.T) {
	files, depth, many := 100_000/3, 3000, 1100 // in each of three directories
	if testing.Short() {
		files, depth, many = 100, 400, 500
	}
	for name, owner := range map[string]string{"mapped": "nomad", "not mapped": "the task"} {
		t.Run(name, func(t *testing.T) {
			agent := "os.getuid()" // who it is on disk
			if owner != "nomad" {
				agent = run(t, "id", "-u", "nomad")
			}
			tk := script(strings.NewReplacer("- N <<", fmt.Sprintf("- %d <<", files), "range(DEPTH)", fmt.Sprintf("range(%d)", depth), "MANY", strconv.Itoa(many), "AGENT", agent).Replace(litter))
			tk.Memory = 512 // the kernel's own for 100 000 files counts
			if owner != "nomad" {
				withoutMapping(t)
			}
			j := submit(t, tk)
			j.await("running")
			alloc := filepath.Join("/var/lib/nomad/alloc", j.alloc)
			if text := j.awaitLogFor(10*patience, "made\n") + j.logs("stderr"); text != "made\n" {
				t.Fatalf("it printed %q", text)
			}
			if is := run(t, "stat", "-c", "%U", alloc+"/task/local/own"); (is == "nomad") != (owner == "nomad") {
				t.Errorf("on disk its directories belong to %s, want %s", is, owner)
			}
			pid := j.pid()
			run(t, "systemctl", "restart", "nomad.service") // with the task running
			driverHealth(t, healthy)
			if got := j.inTask("cat /local/own/sub/file"); got != "x" || j.pid() != pid {
				t.Errorf("after a restart of the agent the task's process is %d, was %d, and its file holds %q", j.pid(), pid, got)
			}
			entries := run(t, "sh", "-c", "find "+alloc+" | wc -l")
			from := time.Now()
			j.purge()
			removed(t, alloc)
			t.Logf("from the stop of the task to the removal of all %s entries: %.1f s", entries, time.Since(from).Seconds())
		})
	}
}

// TestAgentRemovesWhatALostTaskLeft: also where ids cannot be mapped, and the unit that
// the directories belong to is gone, as after a reboot.
func TestAgentRemovesWhatALostTaskLeft(t *testing.T) {
	withoutMapping(t)
	for name, user := range map[string]string{"an ephemeral user": "", "a user of the host": "alice"} {
		t.Run(name, func(t *testing.T) {
			tk := script("for dir in /local /alloc/data /secrets; do mkdir -m 700 $dir/own; mkdir -m 755 $dir/own/sub; touch $dir/own/sub/file; done; echo ready; exec sleep 600")
			tk.User = user
			j := submit(t, tk)
			j.await("running")
			j.awaitLog("ready")
			alloc := filepath.Join("/var/lib/nomad/alloc", j.alloc)
			if is := run(t, "stat", "-c", "%U", alloc+"/task/local/own"); is == "nomad" {
				t.Fatal("its directories are mapped")
			}
			unit := j.unit()
			for _, what := range [][]string{{"stop", "nomad.service"}, {"stop", unit}, {"restart", "systemd-brokerd.service"}, {"start", "nomad.service"}} {
				run(t, "systemctl", what...)
			}
			driverHealth(t, healthy)
			j.await("failed")
			j.purge()
			removed(t, alloc)
		})
	}
}

// TestRestartFindsItsModes: what the agent can remove, or can take back, is not opened.
func TestRestartFindsItsModes(t *testing.T) {
	t.Parallel()
	tk := script(`cd /local
if [ -e data ]; then stat -c %a data closed closed/file; exit 0; fi
mkdir -m 700 data closed; touch data/file closed/file; chmod 600 closed/file; chmod 500 closed; exit 1`)
	tk.Restarts = 1
	out, events := result(t, tk)
	if out != "700\n700\n600\n" {
		t.Errorf("after its restart the task sees the modes %q; events:\n%s", out, events)
	}
}

// TestSessionIsMappedAsItsTask, or refused: also when the host lost its user namespaces,
// or got them, since the task was started.
func TestSessionIsMappedAsItsTask(t *testing.T) {
	tk := script("umask 077; mkdir /local/own; echo x >/local/own/file; echo ready; exec sleep 600")
	start := func(name string) *job {
		j := submitAs(t, jobName(t)+name, tk)
		j.await("running")
		j.awaitLog("ready")
		return j
	}
	owner := func(j *job, file string) string {
		return run(t, "stat", "-c", "%u", filepath.Join("/var/lib/nomad/alloc", j.alloc, "task/local/own", file))
	}
	const session = "cat /local/own/file; echo y >/local/own/session"
	mapped := start("-mapped")
	withMapping := withoutMapping(t)
	unmapped := start("-unmapped")
	if owner(mapped, "file") != run(t, "id", "-u", "nomad") || owner(unmapped, "file") == owner(mapped, "file") {
		t.Fatalf("on disk the files of the tasks belong to %s and %s", owner(mapped, "file"), owner(unmapped, "file"))
	}
	if out, err := mapped.session(session).CombinedOutput(); err == nil || !strings.Contains(string(out), "no user namespace left (sysctl user.max_user_namespaces)") {
		t.Errorf("without user namespaces a session beside the mapped task gives %v: %s", err, out)
	}
	withMapping()
	for _, j := range []*job{mapped, unmapped} {
		if got := j.inTask(session); got != "x" {
			t.Errorf("a session beside %s reads %q", j.id, got)
		}
		if owner(j, "session") != owner(j, "file") {
			t.Errorf("on disk the file of a session beside %s belongs to %s, the task's to %s", j.id, owner(j, "session"), owner(j, "file"))
		}
		j.purge()
		removed(t, filepath.Join("/var/lib/nomad/alloc", j.alloc))
	}
}

// withoutMapping has directories not be mapped until the end of the test, or until
// withMapping is called.
func withoutMapping(t *testing.T) (withMapping func()) {
	t.Helper()
	namespaces := run(t, "sysctl", "-n", "user.max_user_namespaces")
	withMapping = func() { run(t, "sysctl", "-q", "-w", "user.max_user_namespaces="+namespaces) }
	t.Cleanup(withMapping)
	run(t, "sysctl", "-q", "-w", "user.max_user_namespaces=0")
	run(t, "systemctl", "restart", "systemd-brokerd-mounts.service") // which had one ready
	return withMapping
}

// removed has the agent collect garbage, and waits until alloc is gone.
func removed(t *testing.T, alloc string) {
	t.Helper()
	for deadline := time.Now().Add(5 * patience); ; time.Sleep(500 * time.Millisecond) { // nothing tells of the removal
		call(t, "PUT", "/system/gc", nil, nil) // again: the first time the task may not have been at its end for Nomad
		if _, err := os.Stat(alloc); errors.Is(err, fs.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s the agent has left\n%s", 5*patience, run(t, "find", alloc, "-maxdepth", "4"))
		}
	}
}
