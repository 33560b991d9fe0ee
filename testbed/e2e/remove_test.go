// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestAgentRemovesWhatATaskLeft: an agent without privileges garbage-collects an
// allocation completely, whatever its task made in it as another user.
func TestAgentRemovesWhatATaskLeft(t *testing.T) {
	tk := script(`set -e
for dir in /local /alloc/data /secrets; do
	cd $dir
	mkdir -p own/sub closed/sub && echo x >own/sub/file && chmod 400 own/sub/file
	ln own/sub/file own/hardlink; ln -s /etc symlink; mkfifo fifo
	cp /usr/bin/true suid; chmod u+s suid 2>/dev/null || true
	mkdir sticky && touch sticky/file && chmod 1755 sticky
	mkdir -p $(printf 'd/%.0s' $(seq 1 300))
	mkdir many; ( cd many; seq 1 1000 | xargs mkdir ); chmod 700 many
	chmod 0 closed/sub closed
done
echo made`)
	tk.Type = "batch"
	j := submit(t, tk)
	j.await("complete")
	alloc := filepath.Join("/var/lib/nomad/alloc", j.alloc)
	if text := j.logs("stdout") + j.logs("stderr"); text != "made\n" {
		t.Fatalf("it printed %q", text)
	}
	if owner := run(t, "stat", "-c", "%U", alloc+"/task/local/own"); owner != "nomad" {
		t.Errorf("on disk its directories belong to %s, not to the agent", owner)
	}
	j.purge()
	call(t, "PUT", "/system/gc", nil, nil)
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) { // nothing tells of the removal
		if _, err := os.Stat(alloc); errors.Is(err, fs.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s the agent has left\n%s", patience, run(t, "find", alloc, "-maxdepth", "4"))
		}
	}
}
