// SPDX-License-Identifier: MPL-2.0

package directive_test

import (
	"slices"
	"strings"

	"nomad-systemd-driver/broker/directive"
)

// texts are values of all kinds, one a line. A directive is tried with each of
// them; those it takes must mean the same to systemd.
const texts = `
yes
no
1
FALSE
on
0
512
1023B
64K
1.5M
2G
1G 512M
0.5T
infinity
10%
12.34%
99‰
1500‱
100%
150%
5
90
1min 30s
2h
1.5s
500ms
1week
3months 2days
1y 1M 1w 1d 1h 1m 1s 1ms
250us
10ns
1024:4096
64K:1M
10s:20s
100ms:1s
1:infinity
-5
+10
+10:-5
19
-20
-1000
1000
0-1
0,1
0-3 5
1-2,7
8191
numa
CAP_NET_BIND_SERVICE
cap_chown CAP_KILL
~CAP_SYS_ADMIN CAP_SYS_PTRACE
~
CAP_CHECKPOINT_RESTORE CAP_BPF CAP_PERFMON
@system-service
~@mount @swap
read write openat
~ptrace:EPERM kexec_load:ENOSYS
~@debug:kill @clock:1
@known
user pid
~net
cgroup ipc mnt uts
AF_INET AF_INET6
~AF_PACKET
AF_UNIX
ext4 tmpfs @network
~@privileged-api
lo eth0
~wlan0
veth-a.1
any
localhost
link-local
multicast
10.0.0.0/8
10.1.2.3/8
192.0.2.1 2001:db8::/32
::ffff:1.2.3.4/128
tcp:80
ipv4:udp:1000-2000
ipv6:any
1-65535
ipv6:tcp:443
/dev/null rw
char-pts rwm
block-* r
/dev/zero
/dev/sda m
/dev/block/8:0 rw
/dev/vda 10M
/dev/vda 1.5K
/dev/vda infinity
/dev/vda 100
/dev/vda 50ms
/dev/block/8:0 1G
SIGTERM
TERM
15
RTMIN
RTMIN+3
SIGRTMAX-2
SIGUSR1
read-only
tmpfs
full
strict
pid
all
default
invisible
noaccess
ptraceable
inherit
shared
private
auto
closed
kill
avoid
omit
none
continue
stop
skip
disconnected
self
identity
other
batch
idle
fifo
rr
best-effort
realtime
preferred
bind
interleave
local
debug
info
emerg
user
local3
daemon
0022
077
7777
0640
EPERM
ENOSYS
4095
3 SIGKILL TEMPFAIL
250 RTMIN+1
SUCCESS
/srv
-/srv/a /opt
+/usr/share
-+/x
/usr/local/bin /usr/bin
/usr/local/bin:/usr/bin
/opt/a.b/bin:/opt/c_d:/usr/bin
/var/cache:size=64M,mode=0755
/var/cache:size=10M,mode=0700
/var/cache:ro,nostrictatime,size=50M
private:web-1
yes:web.example
/a /b:ro
/c:nr_inodes=1k,noexec
-unconfined
foo//bar
system_u:system_r:init_t:s0
my program
ünï
x=y;z # c
#x
^foo.*bar$
~debug|trace
a[0-9]{2}b
FOO BAR
FOO=bar
private-anonymous elf-headers
0x33
1f
keep-caps noroot-locked
native
x86-64
x86
x86-64 x86
`

// several are values of several lines, which accumulate and reset.
var several = [][]string{
	{"yes", "no"},
	{"no", "yes"},
	{"0-1", "3"},
	{"0-1", "", "2"},
	{"0", "numa"},
	{"numa", "0"},
	{""},
	{"CAP_KILL", "CAP_CHOWN"},
	{"CAP_KILL CAP_CHOWN", "~CAP_KILL"},
	{"~CAP_KILL", "~CAP_CHOWN"},
	{"~CAP_KILL", "CAP_KILL"},
	{"CAP_KILL", ""},
	{"CAP_KILL", "", "CAP_CHOWN"},
	{"~", "CAP_KILL"},
	{"user", "pid"},
	{"~user", "~pid"},
	{"yes", "user"},
	{"no", "~user"},
	{"user pid", "~pid"},
	{"user", "", "~pid"},
	{"user", ""},
	{"AF_INET", "AF_UNIX"},
	{"AF_INET AF_UNIX", "~AF_UNIX"},
	{"~AF_PACKET", "~AF_ALG"},
	{"~AF_PACKET AF_ALG", "AF_ALG"},
	{"none", "AF_UNIX"},
	{"AF_INET", "none"},
	{"AF_INET", ""},
	{"AF_INET", "", "~AF_ALG"},
	{"@system-service", "~@resources"},
	{"~@mount", "~@swap"},
	{"~@mount", "", "read"},
	{"~@mount", "mount"},
	{"read", ""},
	{"lo", "eth0"},
	{"lo eth0", "~eth0"},
	{"lo", "", "eth1"},
	{"ext4", "tmpfs"},
	{"~ext4", "tmpfs"},
	{"10.0.0.0/8", "192.0.2.0/24"},
	{"any", "", "localhost"},
	{"tcp:80", "udp:53"},
	{"any", "", "tcp:443"},
	{"/dev/null r", "/dev/zero rw"},
	{"/dev/null rw", "", "char-pts"},
	{"/dev/vda 10M", "/dev/vdb 1M"},
	{"/dev/vda 10M", "/dev/vda 1M"},
	{"/dev/vda 10M", "", "/dev/vdb 1M"},
	{"/srv", "/opt"},
	{"/srv", "", "/opt"},
	{"/a", "/b:size=1M"},
	{"/a:ro", "", "/b"},
	{"FOO", "BAR"},
	{"FOO", "", "BAR"},
	{"1 SIGKILL", "3"},
	{"1", "", "SIGTERM"},
	{"keep-caps", "noroot"},
	{"keep-caps", "", "noroot"},
	{"default", "private-dax"},
	{"x86", "native"},
	{"x86", "", "native"},
	{"^a", "~b"},
	{"^a", "", "~b"},
	{"1G", "2G"},
	{"10%", "20%"},
	{"5s", "10s"},
}

// hostile are values that try to leave their line of the unit file, or to mean
// something else when it is read again.
var hostile = []string{
	"x\nNoNewPrivileges=no", "/srv\nExecStopPost=+/bin/sh", "AF_UNIX\nUser=root", "lo\nMemoryMax=infinity", "any\n", "1\n2",
	"\nNoNewPrivileges=no", "x\r", "x\rNoNewPrivileges=no", "x\x00y", "x\x01", "x\x1by", "x\x7f", "x\ty", "\tx",
	`x\`, `/srv\`, `~ptrace\`, `lo\`, `yes\`, `x\  `, `10M\`, `\`, `a\\`, `x\x0aNoNewPrivileges=no`, `x\nNoNewPrivileges=no`, `a\ b`, `\x20`,
	"%", "%%", "%H", "%n", "/srv/%i", "/srv/%%", "%h/x", "lo%n", "50%%", "~%n", "CAP_%n", "-%n",
	`"x"`, `"x`, `'x y'`, `x"`, `/srv"`, `"/srv /etc"`, `'`, `"`, `"/dev/null" rw`,
	"/srv/../etc", "/srv/./x", "//srv", "srv", "-srv", "/srv/", "/", "-/", "--/srv", "+-/srv", "/a:b", "/a:size=1M:x", "/a:suid", "/a:uid=0", "/a:size=10%%", "/a:size=10%", "/a:size=%n", "/a:size=10%n", "/a%:size=1M", "private:a b", "private:%H", "yes:-x", "private:x\\", "/srv,/etc",
	"$PATH", "${PATH}", "$(id)", "`id`", "x;y", "; x", "# x", ";x", "x # y", "[Service]", "[Unit]", "=x", "x=", "a=b=c",
	"x\u2028y", "x\u0085y", "\ufeffx", "x\xff", "\xc0\x8a", "\u202ex", "ＡＦ_UNIX",
	" x", "x ", "  ", " /srv ", "a  b", "\u00a0x", "-", "+", "~", "~~x", "~ x", "!", "@", ":", "x:y", "*", "?", "char-*", "block-*", "/dev/../etc/shadow rw", "/dev//sda rw", "/dev/ rw",
	"/dev/sda\t10M", "/dev/sda 10M\nUser=root", "/etc/shadow 10M", "/dev/sda -1", "-1", "18446744073709551615", "18446744073709551616", "1e3", "0x10", "010", "١",
	"yes no", "yes;", "AF_UNIX;", "@nope", "~@mount:EPERM\nx", "read:EPERM", "~read:", "~read:0", "~read:99999", "~:EPERM", "CAP_NOPE", "1,2,", ",", "3-1",
}

// testCase is a directive with lines that it takes.
type testCase struct {
	d      *directive.Directive
	lines  []string
	values []directive.Value
}

func (c testCase) String() string {
	return c.d.Name + "=" + strings.Join(c.lines, " | "+c.d.Name+"=")
}

// needs is the first systemd that takes all of the case.
func (c testCase) needs() int {
	least := c.d.Since
	for _, v := range c.values {
		least = max(least, v.Since)
	}
	return least
}

// accepted are the cases of one directive among the candidates.
func accepted(d *directive.Directive, candidates [][]string) []testCase {
	var cases []testCase
	for _, lines := range candidates {
		if values, err := d.Parse(lines); err == nil {
			cases = append(cases, testCase{d, lines, values})
		}
	}
	return cases
}

// singles are candidates of one line each.
func singles(lines []string) [][]string {
	all := make([][]string, 0, len(lines))
	for _, line := range lines {
		all = append(all, []string{line})
	}
	return all
}

// corpus are all candidates that are not hostile.
func corpus() [][]string {
	return append(singles(append(strings.Split(strings.Trim(texts, "\n"), "\n"), "")), several...)
}

// offered are the directives that are not refused.
func offered() []*directive.Directive {
	var all []*directive.Directive
	for _, d := range directive.All() {
		if d.Offered() {
			all = append(all, d)
		}
	}
	return all
}

// Of each directive so many cases are tried, fewer with -test.short.
const mostByHand, mostGenerated = 40, 20

// tried are at most so many cases of a directive, evenly spread.
func tried(d *directive.Directive, candidates [][]string, most int) []testCase {
	cases := slices.DeleteFunc(accepted(d, candidates), pointless)
	if len(cases) <= most {
		return cases
	}
	kept := make([]testCase, 0, most)
	for i := range most {
		kept = append(kept, cases[i*len(cases)/most])
	}
	return kept
}

// pointless are cases in which a unit file and D-Bus differ in what is shown,
// and not in what is done.
func pointless(c testCase) bool {
	// A unit file that names a device twice has both in the list.
	return c.d.Name == "IODeviceLatencyTargetSec" && len(c.lines) >= 2
}
