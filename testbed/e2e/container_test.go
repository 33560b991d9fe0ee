// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"nomad-systemd-driver/docs"
)

const containerUnit = "nomad-container.service"

// TestAgentInAContainer does what docs/container.md says: the agent lives in a
// container that has the broker's sockets and the agent's data directory. Its tasks
// do not: they outlive it.
func TestAgentInAContainer(t *testing.T) {
	for _, kind := range []struct {
		name string
		tree string // makes what is in the root directory before the page's commands
		bind string // what of the host's /usr is shown in it
	}{
		{"the host's usr", "", "/usr"},
		{"Debian packages", treeOfPackages, "/usr/bin/nomad --bind-ro=/usr/libexec/nomad/plugins"},
	} {
		t.Run(kind.name, func(t *testing.T) {
			shell, unit := containerPage(t)
			const shown = "--bind-ro=/usr "
			if strings.Count(unit, shown) != 1 {
				t.Fatalf("the unit of docs/container.md has no %q", shown)
			}
			agentLivesIn(t, kind.tree+shell, strings.Replace(unit, shown, "--bind-ro="+kind.bind+" ", 1))
		})
	}
}

// treeOfPackages unpacks the packages that the page names, and what they depend on,
// from where they are installed.
const treeOfPackages = `root=/var/lib/machines/nomad
mkdir -p $root/usr/{bin,sbin,lib,lib64}
ln -s usr/{bin,sbin,lib,lib64} $root
packages=$(apt-cache depends --recurse --installed --no-{recommends,suggests,conflicts,breaks,replaces,enhances} base-files coreutils libc-bin | grep '^[a-z]')
dpkg-query -L $packages | sort -u | while read -r path; do if [ -e "$path" ]; then echo "$path"; fi; done |
	tar -c --no-recursion -T - 2>/dev/null | tar -x --keep-directory-symlink -C $root
test ! -e $root/usr/bin/nomad
mkdir -p $root/usr/libexec/nomad/plugins
touch $root/usr/bin/nomad
`

func agentLivesIn(t *testing.T, shell, unit string) {
	t.Helper()
	if err := os.WriteFile("/etc/systemd/system/"+containerUnit, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the container says:\n%s", run(t, "journalctl", "--no-pager", "-n", "60", "-u", containerUnit))
		}
		run(t, "systemctl", "stop", containerUnit)
		// An agent that is interrupted exits with 1.
		run(t, "sh", "-c", "systemctl reset-failed "+containerUnit+" || true")
		run(t, "rm", "-r", "/etc/systemd/system/"+containerUnit, "/var/lib/machines/nomad")
		run(t, "systemctl", "daemon-reload")
		run(t, "systemctl", "start", "nomad.service")
		driverHealth(t, healthy)
	})
	// As the page says of volumes, for those of the test bed's agent.
	run(t, "mkdir", "-p", "/var/lib/machines/nomad/opt", "/var/lib/machines/nomad/srv/data")
	run(t, "bash", "-ec", shell)
	driverHealth(t, healthy)
	if state := show(t, "nomad.service", "ActiveState")["ActiveState"]; state == "active" {
		t.Error("the agent runs outside of the container too")
	}

	j := submit(t, task{Type: "service", Config: command("tick")})
	j.await("running")
	j.awaitLog("tick 2")
	before := j.pid()
	confined(t)
	if got := run(t, "nomad", "alloc", "exec", "-task", "task", j.alloc, hello, "--help"); got == "" {
		t.Error("a session prints nothing")
	}

	run(t, "systemctl", "restart", containerUnit)
	driverHealth(t, healthy)
	j.await("running")
	if after := j.pid(); after != before {
		t.Errorf("process %d became %d with a restart of the container", before, after)
	}
	j.awaitLog("tick 6")
	j.stop()
	if e := j.terminated("complete"); e.Details["exit_code"] != "0" {
		t.Errorf("it ended with %v", e.Details)
	}
}

// confined looks at the agent from outside.
func confined(t *testing.T) {
	t.Helper()
	var agent []string
	awaitTrue(t, "the agent is not one process", func() bool { // what it forks looks like it for a moment
		agent = strings.Fields(run(t, "pgrep", "-x", "-f", "/usr/bin/nomad agent -config /etc/nomad.d"))
		return len(agent) == 1
	})
	pid := agent[0]
	if groups := run(t, "cat", "/proc/self/cgroup"); !strings.HasPrefix(groups, "0::") {
		t.Errorf("the host has control groups of version 1 now:\n%s", groups)
	}
	for _, ns := range []string{"mnt", "pid", "ipc", "uts"} {
		if inside, host := run(t, "readlink", "/proc/"+pid+"/ns/"+ns), run(t, "readlink", "/proc/1/ns/"+ns); inside == host {
			t.Errorf("the agent is in the host's namespace %s", ns)
		}
	}
	status := run(t, "grep", "-E", "^(Uid|CapBnd|CapEff|NoNewPrivs):", "/proc/"+pid+"/status")
	nomad := run(t, "id", "-u", "nomad")
	for _, want := range []string{fmt.Sprintf("Uid:\t%s\t%s\t%s\t%s", nomad, nomad, nomad, nomad), "CapBnd:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"} {
		if !strings.Contains(status, want) {
			t.Errorf("the agent has no %q in\n%s", want, status)
		}
	}
	if groups := run(t, "cat", "/proc/"+pid+"/cgroup"); !strings.Contains(groups, "/"+containerUnit) {
		t.Errorf("the agent is in %s, where the broker would not find its unit", groups)
	}
	for _, path := range []string{"/run/dbus", "/run/systemd/private", "/etc/systemd-brokerd", "/srv/artifacts", "/home"} {
		host, err := os.Lstat(path)
		must(t, err)
		// A tree of packages has a /home of its own.
		if inside, err := os.Lstat("/proc/" + pid + "/root" + path); err == nil && os.SameFile(inside, host) {
			t.Errorf("the agent sees %s of the host", path)
		}
	}
}

// containerPage returns the commands of the page, and its unit.
func containerPage(t *testing.T) (shell, unit string) {
	t.Helper()
	for _, b := range codeBlocks(t, "container.md") {
		switch b.language {
		case "sh":
			shell += b.text
		case "ini":
			unit += b.text
		}
	}
	if shell == "" || unit == "" {
		t.Fatal("docs/container.md has no commands or no unit")
	}
	return shell, unit
}

type codeBlock struct{ language, text string }

// codeBlocks are those of a page of docs/ that begin with ``` and a language.
func codeBlocks(t *testing.T, page string) (all []codeBlock) {
	t.Helper()
	text, err := docs.Files.ReadFile(page)
	must(t, err)
	for rest := string(text); ; {
		var block string
		var found bool
		if _, rest, found = strings.Cut(rest, "\n```"); !found {
			return all
		}
		block, rest, _ = strings.Cut(rest, "\n```\n")
		language, block, _ := strings.Cut(block, "\n")
		all = append(all, codeBlock{language, block + "\n"})
	}
}
