// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package systemd

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nomad-systemd-driver/broker/directive"
	"nomad-systemd-driver/broker/unit"
)

// readBackTexts are values of all kinds; each directive is tried with those it
// takes.
var readBackTexts = strings.Split(`yes
no
0
5
100
512
64M
10%
150%
infinity
1min 30s
500ms
1024:4096
1:infinity
0
0-1
0,1
numa
-5
CAP_NET_BIND_SERVICE CAP_CHOWN
~CAP_SYS_ADMIN CAP_SYS_PTRACE
@system-service
~@clock @cpu-emulation @debug @module @mount @obsolete @raw-io @reboot @swap
~ptrace:EPERM kexec_load:ENOSYS
~socketcall umount
read write openat
user pid
~net
AF_INET AF_INET6
~AF_PACKET
none
ext4 tmpfs
native x86-64
EPERM
0027
private
invisible
strict
read-only
tmpfs
pid
closed
idle
batch
best-effort
preferred
x86-64
SIGTERM
3 SIGKILL
warning
daemon
kill
continue
auto
avoid
keep-caps
private-anonymous elf-headers
/tmp -/none/such
/tmp:size=1M,ro
any
localhost 10.1.2.3/8
ipv4:tcp:80-90
8080
/dev/null rw
char-pts r
/dev/vda 10M
/dev/vda 100
/dev/vda 50ms
lo eth0
~lo
FOO BAR=1
~some.*pattern
some-name`, "\n")

// TestRealReadBack starts a unit for each offered directive and value, and wants
// what systemd says of it to be taken for what was sent, so that no job fails for
// a form that systemd gives otherwise than it takes it.
func TestRealReadBack(t *testing.T) {
	c := dialOptions(t, Options{BusPath: "/nonexistent"})
	running, err := strconv.Atoi(regexp.MustCompile(`^\d+`).FindString(c.Version()))
	if err != nil {
		t.Fatal(err)
	}
	compared, tried := 0, map[string]bool{}
	for _, d := range directive.All() {
		if !d.Offered() || d.Since > running {
			continue
		}
		for _, text := range readBackTexts {
			for _, lines := range [][]string{{text}, {text, "", text}} {
				values, err := d.Settings(lines)
				if err != nil || len(values) == 0 || !possible(c, running, values) || stalls(values) {
					continue
				}
				tried[d.Name] = true
				compared += readBack(t, c, d.Name, lines, values)
			}
		}
	}
	t.Logf("%d values of %d directives are read back as they were sent", compared, len(tried))
	if len(tried) < 110 {
		t.Errorf("only %d directives were tried", len(tried))
	}
}

// possible is whether this systemd can do what is asked: the broker refuses the rest.
func possible(c *Conn, running int, values []directive.Setting) bool {
	features := strings.Fields(c.Features())
	return !slices.ContainsFunc(values, func(v directive.Setting) bool {
		return v.Since > running || v.Needs != "" && !slices.Contains(features, "+"+v.Needs)
	})
}

// stalls is whether there is too little memory for a program to start at all.
func stalls(values []directive.Setting) bool {
	return slices.ContainsFunc(values, func(v directive.Setting) bool {
		n, ok := v.Value.Value.Value().(uint64)
		return ok && n < 1<<20 && (v.Name == "MemoryHigh" || v.Name == "StartupMemoryHigh")
	})
}

// readBack is 1 if the values could be compared and were good.
func readBack(t *testing.T, c *Conn, name string, lines []string, values []directive.Setting) int {
	t.Helper()
	sent := program("/bin/true")
	for _, v := range values {
		sent = append(sent, unit.Property{Name: v.Name, Value: v.Value.Value})
	}
	u := realUnit()
	_, err := c.start(testContext(t), u, sent, sent...)
	defer func() {
		_ = c.Stop(testContext(t), u)
		_ = c.ResetFailed(testContext(t), u)
	}()
	if _, failed := errors.AsType[*StartError](err); failed {
		// The program could not be executed under it; PID 1 has the unit all the same.
		_, err = c.verified(testContext(t), u, sent)
	}
	if err != nil {
		t.Errorf("%s=%q: %v", name, lines, err)
		return 0
	}
	return 1
}
