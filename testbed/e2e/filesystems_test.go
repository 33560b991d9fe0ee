// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const allocDir = "/var/lib/nomad/alloc"

// TestFileSystems: docs/compatibility.md has what is seen here. Where the file system
// maps ids, what a task makes in its directories is the agent's on disk, elsewhere its
// own; the agent removes all of it. A volume is never mapped.
func TestFileSystems(t *testing.T) {
	// Depth and number are what TestAgentRemovesWhatATaskLeft is about.
	what := strings.NewReplacer("- N <<", "- 100 <<", "range(DEPTH)", "range(400)").Replace(litter)
	what = strings.Replace(what, "echo made", "cd /data; echo x >file; ln file hardlink\necho made", 1)
	for _, fs := range []struct {
		kind, make string
		since      [2]int // Linux, that maps ids on it
	}{
		{"ext4", "mkfs.ext4 -q", [2]int{5, 12}},
		{"xfs", "mkfs.xfs -q", [2]int{5, 12}},
		{"btrfs", "mkfs.btrfs -q", [2]int{5, 15}},
		{"tmpfs", "", [2]int{6, 3}},
	} {
		t.Run(fs.kind, func(t *testing.T) {
			allocationsOn(t, fs.kind, fs.make)
			maps := linux(t, fs.since)
			if text := run(t, "sh", "-c", "systemd-brokerd doctor || true"); strings.Contains(text, "ids are mapped in "+allocDir) != maps || !strings.Contains(text, fs.kind) {
				t.Errorf("ids are mapped: %t; doctor says\n%s", maps, text)
			}
			tk := script(what)
			tk.Memory = 512
			tk.Config["bind"] = map[string]any{volumeDir: "/data"}
			j := submit(t, tk)
			j.await("running")
			if text := j.awaitLog("made\n") + j.logs("stderr"); text != "made\n" {
				t.Fatalf("it printed %q", text)
			}
			alloc, uid := filepath.Join(allocDir, j.alloc), show(t, j.unit(), "UID")["UID"]
			owner := uid
			if maps {
				owner = run(t, "id", "-u", "nomad")
			}
			for path, want := range map[string]string{
				"/task/local/own": owner, "/task/local/own/hardlink": owner, "/alloc/data/own/sub": owner, "/task/secrets/files/0": owner, "/../volume/hardlink": uid,
			} {
				if got := run(t, "stat", "-c", "%u", alloc+path); got != want {
					t.Errorf("on disk %s belongs to %s, want %s", path, got, want)
				}
			}
			if got := run(t, "stat", "-c", "%h", alloc+"/task/local/own/hardlink", volumeDir+"/hardlink"); got != "2\n2" {
				t.Errorf("the files have %q links", got)
			}
			if got := j.inTask("stat -c %u /local/own/hardlink /data/hardlink"); got != uid+"\n"+uid {
				t.Errorf("a session sees the owners %q, want %s", got, uid)
			}
			entries, from := run(t, "sh", "-c", "find "+alloc+" | wc -l"), time.Now()
			j.purge()
			removed(t, alloc)
			t.Logf("ids are mapped: %t; from the stop of the task to the removal of all %s entries: %.1f s", maps, entries, time.Since(from).Seconds())
		})
	}
}

// volumeDir is where allocationsOn has a volume, which the tests' policy lets tasks write to.
const volumeDir = "/opt/volume"

// allocationsOn gives the agent a new file system for its allocations, and has a volume on
// it, until the end of the test.
func allocationsOn(t *testing.T, kind, mkfs string) {
	t.Helper()
	image := filepath.Join("/var/tmp", "e2e-"+kind)
	t.Cleanup(func() {
		run(t, "systemctl", "start", "nomad.service")
		driverHealth(t, healthy)
	})
	t.Cleanup(func() {
		run(t, "systemctl", "stop", "nomad.service")
		run(t, "sh", "-c", fmt.Sprintf("umount %s; rmdir %[1]s; umount %s && rm -f %s", volumeDir, allocDir, image))
	})
	run(t, "systemctl", "stop", "nomad.service")
	mount := "mount -t tmpfs tmpfs " + allocDir
	if mkfs != "" {
		mount = fmt.Sprintf("truncate -s 512M %s; %s %[1]s; mount -o loop %[1]s %[3]s", image, mkfs, allocDir)
	}
	run(t, "sh", "-ec", mount+fmt.Sprintf("; chown nomad:nomad %s; chmod 711 %[1]s; mkdir -m 777 %[1]s/volume; mkdir %s; mount --bind %[1]s/volume %[2]s", allocDir, volumeDir))
	run(t, "systemctl", "start", "nomad.service")
	driverHealth(t, healthy)
}

// linux is whether the kernel is of this version or newer.
func linux(t *testing.T, since [2]int) bool {
	t.Helper()
	var name unix.Utsname
	var major, minor int
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return major > since[0] || major == since[0] && minor >= since[1]
}
