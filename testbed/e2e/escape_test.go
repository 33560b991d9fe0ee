// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// attempts are what a task tries against the others on its host. Each is a
// script that exits with 0 only if it got what it must not get. $OTHER is the
// main process of another task, $ALLOC its allocation.
var attempts = []struct{ name, script string }{
	{"signal another task", "kill -0 $OTHER"},
	{"see another task", "test -e /proc/$OTHER/status"},
	{"see PID 1", "test -e /proc/1/status && readlink /proc/1/exe"},
	{"see the agent", "grep -aql nomad /proc/[0-9]*/cmdline 2>/dev/null | grep -v -e self -e $$"},
	{"reach another task's files", "ls /proc/$OTHER/root/local"},
	{"see another allocation", "ls /var/lib/nomad/alloc/$ALLOC"},
	{"see the agent's data", "ls /var/lib/nomad"},
	{"reach the broker", "ls /run/systemd-brokerd"},
	{"reach the system bus", "ls /run/dbus/system_bus_socket"},
	{"reach PID 1's socket", "ls /run/systemd/private"},
	{"reach the journal's socket", "ls /run/systemd/journal/stdout"},
	{"write below /usr", "touch /usr/x"},
	{"write below /etc", "touch /etc/x"},
	{"write at the top", "touch /x"},
	{"write to the control groups", "echo $$ >/sys/fs/cgroup/cgroup.procs"},
	{"write to sysctls", "echo 0 >/proc/sys/kernel/randomize_va_space"},
	{"write to sysfs", "echo 1 >/sys/kernel/mm/ksm/run"},
	{"mount", "mount -t tmpfs none /tmp"},
	{"unmount", "umount /secrets || umount -l /secrets"},
	{"make a mount namespace", "unshare -m true"},
	{"make a user namespace", "unshare -U true"},
	{"enter another namespace", "nsenter -t $OTHER -m true"},
	{"change its root", "chroot / true"},
	{"make a device", "mknod /tmp/vda b 254 0"},
	{"open the disk", "head -c 1 /dev/vda"},
	{"open the memory", "head -c 1 /dev/mem"},
	{"become root", "setpriv --reuid 0 true || su -c true || sudo -n true"},
	{"make a setuid program", "cp /usr/bin/id /local/id && chmod 4755 /local/id && test -u /local/id"},
	{"pass all filters of system calls by", hello + " uring"},
	{"give a file away", "touch /local/f && chown 0 /local/f"},
	{"load a module", "modprobe dummy || insmod /usr/lib/modules/x.ko"},
	{"set the clock", "date -s 2000-01-01"},
	{"set the host's name", "hostname escaped"},
	{"read the kernel's log", "dmesg"},
	{"trace PID 1", "strace -p 1 || cat /proc/1/environ"},
	{"raise its limits", "ulimit -H -c unlimited"},
	{"raise its priority", "nice -n -5 true 2>&1 | grep -v denied; test $(nice -n -5 nice) -lt 0"},
	{"see the users of the host", "getent passwd nomad || getent passwd alice"},
	{"see /home, /root or /var/log", "ls /home || ls /var/log || ls /root/.ssh"},
	{"leave through a hardlink", "ln /etc/hosts /local/hosts"},
	{"leave through its own root", "ls /proc/self/root/var/lib/nomad"},
	{"leave IPC for others", "ls -A /dev/shm | grep ."},
	{"reboot", "reboot -f"},
}

// TestNothingEscapes runs all attempts in one task, beside another.
func TestNothingEscapes(t *testing.T) {
	t.Parallel()
	other := submit(t, script("echo secret >/local/secret; echo ready; exec sleep 600"))
	other.await("running")
	other.awaitLog("ready")
	var b strings.Builder
	fmt.Fprintf(&b, "exec 2>/dev/null\nexport OTHER=%d ALLOC=%s\necho CONTROL; (test -w /local && echo own >/local/own && test -e /proc/self/status) && echo POSSIBLE control\n", other.pid(), other.alloc)
	for _, a := range attempts {
		fmt.Fprintf(&b, "(%s) >/dev/null </dev/null && echo POSSIBLE %s\n", a.script, a.name)
	}
	b.WriteString("echo DONE\n")
	tk := script(b.String())
	tk.Type = "batch"
	var out, events string
	t.Run("attempts", func(t *testing.T) { out, events = result(t, tk) })
	if !strings.Contains(out, "POSSIBLE control\n") || !strings.HasSuffix(out, "DONE\n") {
		t.Fatalf("it prints:\n%s\n%s", out, events)
	}
	for line := range strings.Lines(out) {
		if what, ok := strings.CutPrefix(line, "POSSIBLE "); ok && what != "control\n" {
			t.Errorf("a task can %s", strings.TrimSpace(what))
		}
	}
	t.Logf("%d attempts failed, as they must", len(attempts))
}

// result runs a batch job to its end, whatever it is, and returns what the task
// printed and Nomad's events.
func result(t *testing.T, tk task) (out, events string) {
	t.Helper()
	tk.Type, tk.CPU = "batch", 100
	j := submit(t, tk)
	a := watch(t, "/job/"+j.id+"/allocations", func(a []allocation) bool { return len(a) > 0 && a[0].ended() })
	j.alloc = a[0].ID
	if events = j.messages(a[0]); strings.Contains(events, "Started") {
		out = j.logs("stdout") + j.logs("stderr")
	}
	return out, events
}
