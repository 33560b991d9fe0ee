// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// attempts are what a task tries against the others on its host. Each is a
// script that exits with 0 only if it got what it must not get. $OTHER is the
// main process of another task, $ALLOC its allocation.
var attempts = []struct{ name, script string }{
	{"signal another task", "kill -0 $OTHER"},
	{"signal the agent", "kill -0 $AGENT"},
	{"signal the broker", "kill -0 $BROKER"},
	{"see the agent", "cat /proc/$AGENT/cmdline"},
	{"see the broker", "cat /proc/$BROKER/cmdline"},
	{"read another task's environment", "cat /proc/$OTHER/environ"},
	{"reach another task's secrets", "ls /proc/$OTHER/root/secrets/key"},
	{"reach another task's secrets on disk", "ls /var/lib/nomad/alloc/$ALLOC/task/secrets/key"},
	{"see another task", "test -e /proc/$OTHER/status"},
	{"see PID 1", "test -e /proc/1/status && readlink /proc/1/exe"},
	{"reach another task's files", "ls /proc/$OTHER/root/local"},
	{"see another allocation", "ls /var/lib/nomad/alloc/$ALLOC"},
	{"see the agent's data", "ls /var/lib/nomad"},
	{"reach the broker", "ls /run/systemd-brokerd"},
	{"connect to the broker", "python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"/run/systemd-brokerd/broker.sock\")'"},
	{"reach the system bus", "ls /run/dbus/system_bus_socket"},
	{"reach PID 1's socket", "ls /run/systemd/private"},
	{"reach the journal's socket", "ls /run/systemd/journal/stdout"},
	{"write below /usr", "touch /usr/x"},
	{"write below /etc", "touch /etc/x"},
	{"write at the top", "touch /x"},
	{"write to the control groups", "echo $$ >/sys/fs/cgroup/cgroup.procs"},
	{"write to sysctls", "echo 0 >/proc/sys/kernel/randomize_va_space"},
	{"write to sysfs", "echo 0 >/sys/module/kernel/parameters/panic"},
	{"mount", "mount -t tmpfs none /tmp"},
	{"unmount", "umount /secrets || umount -l /secrets"},
	{"make a mount namespace", "unshare -m true"},
	{"make a user namespace", "unshare -U true"},
	{"enter another namespace", "nsenter -t $OTHER -m true"},
	{"change its root", "chroot / true"},
	{"execute what is in /secrets", "cp /usr/bin/true /secrets/true && /secrets/true"},
	{"make a device", "mknod /tmp/vda b 254 0"},
	{"open the disk", "head -c 1 /dev/vda"},
	{"open the memory", "head -c 1 /dev/mem"},
	{"become root", "setpriv --reuid 0 true || su -c true || sudo -n true"},
	{"make a setuid program", "cp /usr/bin/id /local/id && chmod 4755 /local/id && test -u /local/id"},
	{"pass all filters of system calls by", hello + " uring"},
	{"give a file away", "touch /local/f && chown 0 /local/f"},
	{"load a module", "modprobe dummy || insmod /usr/lib/modules/x.ko"},
	{"set the clock", "date -s @$(date +%s.%N)"},
	{"set the host's name", "hostname $(hostname)"},
	{"read the kernel's log", "dmesg"},
	{"trace PID 1", "strace -p 1 || cat /proc/1/environ"},
	{"raise its limits", "ulimit -H -c unlimited"},
	{"raise its priority", "nice -n -5 true 2>&1 | grep -v denied; test $(nice -n -5 nice) -lt 0"},
	{"see the users of the host", "getent passwd nomad || getent passwd bob"},
	{"see /home, /root or /var/log", "ls /home || ls /var/log || ls /root/.ssh"},
	{"see the shared memory of the host", "cat /dev/shm/e2e-escape"},
	{"see the System V memory of the host", "ipcs -m | grep -q \"^0x[0-9a-f]* *$SHM \""},
	{"leave through a hardlink", "ln /etc/hosts /local/hosts"},
	{"leave through its own root", "ls /proc/self/root/var/lib/nomad"},
	{"reboot", "reboot -f"},
}

// withoutControl are those that not even root does here, and why.
var withoutControl = map[string]string{
	"reboot":                   "it would work",
	"leave through a hardlink": "/local is another mount",
	"load a module":            "the image of the VM has none",
}

// inHostView are those that rootfs = "host" allows.
var inHostView = []string{"see the users of the host", "see /home, /root or /var/log"}

// escapes is all attempts against another task, which print what is possible.
func escapes(t *testing.T, other *job) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "exec 2>/dev/null\nexport OTHER=%d ALLOC=%s AGENT=%s BROKER=%s SHM=%s\n", other.pid(), other.alloc,
		show(t, "nomad", "MainPID")["MainPID"], show(t, "systemd-brokerd", "MainPID")["MainPID"], hostMemory(t))
	b.WriteString("(test -w /local && echo own >/local/own && test -e /proc/self/status) && echo POSSIBLE control\n")
	for _, a := range attempts {
		fmt.Fprintf(&b, "(%s) >/dev/null </dev/null && echo \"POSSIBLE %s\"\n", a.script, a.name)
	}
	b.WriteString("echo DONE\n")
	return b.String()
}

// hostMemory makes memory that all on the host may use, and returns the id of that of
// System V.
func hostMemory(t *testing.T) string {
	t.Helper()
	const file = "/dev/shm/e2e-escape"
	run(t, "sh", "-c", "echo shared >"+file+"; chmod 666 "+file)
	said := strings.Fields(run(t, "ipcmk", "-M", "64", "-p", "0666"))
	id := said[len(said)-1]
	t.Cleanup(func() { run(t, "sh", "-c", "rm "+file+"; ipcrm -m "+id) })
	return id
}

// possible are the attempts that succeeded, by what their script printed.
func possible(t *testing.T, out string) (all []string) {
	t.Helper()
	if !strings.Contains(out, "POSSIBLE control\n") || !strings.HasSuffix(out, "DONE\n") {
		t.Fatalf("it prints:\n%s", out)
	}
	for line := range strings.Lines(out) {
		if what, ok := strings.CutPrefix(line, "POSSIBLE "); ok && what != "control\n" {
			all = append(all, strings.TrimSpace(what))
		}
	}
	return all
}

// TestNothingEscapes runs all attempts in tasks of each kind, beside another. That a
// script does what it says shows root, without a sandbox.
func TestNothingEscapes(t *testing.T) {
	t.Parallel()
	run(t, "sh", "-ec", "mkdir -p /srv/e2e/escape/local /srv/e2e/escape/secrets")
	victim := script("echo secret >/local/secret; echo ready; exec sleep infinity")
	victim.Templates = append(victim.Templates, template{Path: "secrets/key", Text: "secret", Perms: "0600"})
	other := submit(t, victim)
	other.await("running")
	other.awaitLog("ready")
	text := escapes(t, other)
	// The group ends when all of it has, and the other task with it.
	t.Run("kinds", func(t *testing.T) {
		t.Run("root without a sandbox", func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() {
				run(t, "sh", "-c", "rm -rf /usr/x /etc/x /x /local /secrets; sysctl -q -w kernel.randomize_va_space=2")
			})
			const dir = "/srv/e2e/escape/"
			if err := os.WriteFile(dir+"script", []byte(withControl(text)), 0o600); err != nil {
				t.Fatal(err)
			}
			out := run(t, "systemd-run", "--quiet", "--wait", "--pipe", "--collect",
				"-p", "BindPaths="+dir+"local:/local "+dir+"secrets:/secrets", "sh", dir+"script")
			done := possible(t, out+"\n")
			for _, a := range attempts {
				if _, without := withoutControl[a.name]; !without && !slices.Contains(done, a.name) {
					t.Errorf("not even root can %s: the attempt proves nothing", a.name)
				}
			}
		})
		for name, keys := range escapees(t) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				tk := script(text)
				maps.Copy(tk.Config, keys)
				if name == "a user of the host" {
					tk.User = "alice"
				}
				out, events := result(t, tk)
				if !strings.Contains(out, "DONE") {
					t.Fatal(events)
				}
				for _, what := range possible(t, out) {
					if name != "host view" || !slices.Contains(inHostView, what) {
						t.Errorf("a task can %s", what)
					}
				}
			})
		}
		t.Run("a session", func(t *testing.T) {
			t.Parallel()
			j := submit(t, script("echo ready; exec sleep infinity"))
			j.await("running")
			j.awaitLog("ready")
			for _, what := range possible(t, j.inTask(text)+"\n") {
				t.Errorf("a session can %s", what)
			}
		})
	})
}

// escapees are the keys of each kind of task.
func escapees(t *testing.T) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{"minimal": {}, "host view": {"rootfs": "host"}, "a user of the host": {}}
	if testing.Short() {
		return all
	}
	const image = "/srv/e2e/images/full" // with all of the host's programs
	run(t, "sh", "-ec", `mkdir -p /srv/e2e/images; rm -rf `+image+`; mkdir `+image+`; cd `+image+`
cp -al /usr usr; cp -a /bin /sbin /lib /lib64 .; mkdir -p alloc local secrets proc sys dev run tmp var/tmp root etc
echo root:x:0:0::/:/bin/sh >etc/passwd; echo root:x:0: >etc/group`)
	all["an image"] = map[string]any{"rootfs": "image", "image": image}
	return all
}

// withControl is the script without what is not to succeed.
func withControl(text string) string {
	for _, a := range attempts {
		if _, without := withoutControl[a.name]; without {
			text = strings.Replace(text, "("+a.script+")", "(false)", 1)
		}
	}
	return text
}

// result runs a batch job to its end, whatever it is, and returns what the task
// printed and Nomad's events.
func result(t *testing.T, tk task) (out, events string) {
	t.Helper()
	tk.Type, tk.CPU = "batch", 100
	j := submit(t, tk)
	a := watchFor(t, 3*patience, "/job/"+j.id+"/allocations", func(a []allocation) bool { return len(a) > 0 && a[0].ended() })
	j.alloc = a[0].ID
	if events = j.messages(a[0]); strings.Contains(events, "Started") {
		out = j.logs("stdout") + j.logs("stderr")
	}
	return out, events
}
