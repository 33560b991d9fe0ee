// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/directive"
)

// texts are values of all kinds; each directive is tried with those that its
// parser takes.
var texts = []string{
	"yes", "no", "on", "0", "1", "2", "7", "19", "-5", "100", "1000", "4096", "infinity",
	"512", "10K", "1.5M", "64M", "2G", "1G 512M", "0.5K", "3.333M", "1T", "8E",
	"10%", "33.3%", "12.34%", "100%", "250%", "5us", "10ms", "1.5s", "1min 30s", "2h", "1d", "1w", "1month", "1y", "7nsec", "0.25",
	"0-3", "0,2 5-6", "1-2,4", "all", "numa", "0022", "077", "0777", "1:2", "1024:4096", "16:infinity", "+5", "-10", "10K:20K", "1s:2s",
	"strict", "full", "read-only", "tmpfs", "pid", "invisible", "noaccess", "ptraceable", "default", "disconnected", "self", "identity", "private",
	"inherit", "shared", "closed", "auto", "kill", "avoid", "omit", "none", "stop", "continue", "skip", "off",
	"other", "batch", "idle", "fifo", "rr", "best-effort", "realtime", "bind", "preferred", "interleave", "local",
	"CAP_CHOWN", "CAP_NET_BIND_SERVICE CAP_KILL", "~CAP_SYS_ADMIN CAP_SYS_PTRACE", "~", "cap_bpf",
	"user", "~user mnt", "cgroup ipc net", "uts pid",
	"read write", "@system-service", "~@mount @swap", "~kexec_load:EPERM reboot:13", "~@reboot:kill", "@basic-io open",
	"EPERM", "ENOSYS", "13", "AF_UNIX", "AF_INET AF_INET6", "~AF_PACKET AF_NETLINK", "ext4 tmpfs", "~@network", "lo", "~eth0 lo",
	"any", "localhost", "link-local multicast", "10.0.0.0/8", "192.168.1.7 fe80::1", "10.1.2.3/8", "2001:db8::/32",
	"80", "8000-8010", "tcp:443", "ipv4:udp:53", "ipv6:any", "udp", "ipv4",
	"/dev/null rw", "/dev/zero", "char-pts rwm", "block-* r", "/dev/vda 10M", "/dev/vda 200", "/dev/vda infinity", "/dev/vda 25ms",
	"/opt", "-/opt /srv", "+/var", "/usr/bin:/bin", "/var:size=10M,mode=0755 /opt:ro",
	"native", "x86-64 x86", "x86", "SIGTERM", "HUP", "9", "RTMIN+3", "info", "err", "debug", "daemon", "local3", "web", "-web",
	"noroot keep-caps", "private-anonymous shared-dax", "default elf-headers", "33",
}

// TestDirectivesMeanWhatSystemdRunMeans sets each directive by systemd-run, which
// reads the text itself, and by what our parser makes of the text; the units must
// show the same. Then PID 1 reads the units' files again, and they must show the
// same still.
func TestDirectivesMeanWhatSystemdRunMeans(t *testing.T) {
	t.Parallel()
	bus, err := dbus.ConnectSystemBus()
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	version := systemdVersion(t)
	corpus, most := map[string][]string{}, 0
	for _, d := range directive.All() {
		for _, text := range texts {
			if values, err := d.Parse([]string{text}); err == nil && !newer(values, version) {
				corpus[d.Name] = append(corpus[d.Name], text)
			}
		}
		if d.Refused == "" && d.Since <= version && len(corpus[d.Name]) == 0 {
			t.Errorf("no text fits %s", d.Name)
		}
		most = max(most, len(corpus[d.Name]))
	}
	for _, name := range unknownToSystemdRun(t, corpus) {
		t.Logf("systemd-run has no %s", name)
		delete(corpus, name)
	}
	cases, mismatches := 0, 0
	for round := range most {
		ours, theirs := fmt.Sprintf("e2e-ours-%d.service", round), fmt.Sprintf("e2e-theirs-%d.service", round)
		var args, shown []string
		var properties []property
		for _, d := range directive.All() {
			if round >= len(corpus[d.Name]) {
				continue
			}
			text := corpus[d.Name][round]
			values, err := d.Parse([]string{text})
			if err != nil {
				t.Fatal(err)
			}
			cases++
			args = append(args, "-p", d.Name+"="+text)
			for _, v := range values {
				properties = append(properties, property{v.Name, v.Value})
			}
			for _, b := range d.Buses {
				shown = append(shown, b.Name)
			}
		}
		t.Cleanup(func() {
			_ = exec.Command("systemctl", "stop", ours, theirs).Run()
			_ = exec.Command("systemctl", "reset-failed", ours, theirs).Run()
		})
		systemdRun(t, theirs, args)
		transient(t, bus, ours, properties)
		before, want := shows(t, ours, shown), shows(t, theirs, shown)
		for _, name := range shown {
			if before[name] != want[name] {
				mismatches++
				t.Errorf("%s is %q, and systemd-run makes it %q", name, before[name], want[name])
			}
		}
		run(t, "systemctl", "daemon-reload")
		after := shows(t, ours, append(shown, "LoadState", "ExecStopPost", "User", "FragmentPath"))
		if after["LoadState"] != "loaded" || after["ExecStopPost"] != "" || !strings.HasPrefix(after["FragmentPath"], "/run/systemd/transient/") {
			t.Errorf("after a daemon-reload the unit is %v", after)
		}
		for _, name := range shown {
			if after[name] != before[name] {
				mismatches++
				t.Errorf("%s was %q, and is %q after a daemon-reload", name, before[name], after[name])
			}
		}
	}
	t.Logf("%d values of %d directives, %d mismatches", cases, len(corpus), mismatches)
}

func systemdRun(t *testing.T, unit string, args []string) {
	t.Helper()
	run(t, "systemd-run", slices.Concat([]string{"--no-block", "--quiet", "--unit", unit, "-p", "RemainAfterExit=yes"}, args, []string{"/usr/bin/true"})...)
}

// unknownToSystemdRun are directives that PID 1 has and its tool has not.
func unknownToSystemdRun(t *testing.T, corpus map[string][]string) (unknown []string) {
	t.Helper()
	for {
		args := []string{"--no-block", "--quiet", "--unit", "e2e-unknown"}
		for name, all := range corpus {
			if !slices.Contains(unknown, name) {
				args = append(args, "-p", name+"="+all[0])
			}
		}
		// There is no such type: nothing is started.
		out, _ := exec.Command("systemd-run", append(args, "-p", "Type=nosuch", "/usr/bin/true")...).CombinedOutput()
		_, after, found := strings.Cut(string(out), "Unknown assignment: ")
		if !found {
			return unknown
		}
		name, _, _ := strings.Cut(after, "=")
		unknown = append(unknown, name)
	}
}

// property is (sv).
type property struct {
	Name  string
	Value dbus.Variant
}

type auxiliary struct {
	Name       string
	Properties []property
}

// command is ExecStart= on D-Bus, a(sasb).
type execCommand struct {
	Path          string
	Argv          []string
	IgnoreFailure bool
}

// transient starts a unit the way the broker does.
func transient(t *testing.T, bus *dbus.Conn, name string, properties []property) {
	t.Helper()
	all := append([]property{
		{"ExecStart", dbus.MakeVariant([]execCommand{{"/usr/bin/true", []string{"/usr/bin/true"}, false}})},
		{"RemainAfterExit", dbus.MakeVariant(true)},
	}, properties...)
	manager := bus.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
	if err := manager.Call("org.freedesktop.systemd1.Manager.StartTransientUnit", 0, name, "fail", all, []auxiliary{}).Err; err != nil {
		t.Fatalf("cannot start %s: %v", name, err)
	}
}

func shows(t *testing.T, unit string, names []string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for line := range strings.Lines(run(t, "systemctl", "show", "--property="+strings.Join(names, ","), unit)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		all[name] += value + "\n" // some have a line for each item
	}
	for name := range all {
		all[name] = strings.TrimSuffix(all[name], "\n")
	}
	return all
}

func systemdVersion(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(strings.Fields(run(t, "systemctl", "--version"))[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func newer(values []directive.Value, version int) bool {
	return slices.ContainsFunc(values, func(v directive.Value) bool { return v.Since > version })
}
