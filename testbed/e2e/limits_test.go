// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"
)

type (
	keys = map[string]any
	text = []string // values of a key, or regular expressions
)

// askAgent speaks to the agent, over the loopback.
const askAgent = "curl -sS -m 120 http://127.0.0.1:4646/v1/agent/health 2>&1 | head -c 100"

// printed is what a script prints under keys of the config block. Two jobs of one
// test need names.
func printed(t *testing.T, job, text string, config keys) string {
	t.Helper()
	tk := script(text)
	tk.Type, tk.CPU, tk.Port = "batch", 300, "http"
	maps.Copy(tk.Config, config)
	j := submitAs(t, jobName(t)+job, tk)
	a := watchFor(t, 3*patience, "/job/"+j.id+"/allocations", func(a []allocation) bool { return len(a) > 0 && a[0].ended() })
	j.alloc = a[0].ID
	events := j.messages(a[0])
	if strings.Contains(events, "built with BPF_FRAMEWORK") && !strings.Contains(run(t, "systemctl", "--version"), "+BPF_FRAMEWORK") {
		t.Skip("this systemd cannot, and says so")
	}
	if !strings.Contains(events, "Started") {
		t.Fatalf("it did not start:\n%s", events)
	}
	return j.logs("stdout") + j.logs("stderr")
}

// TestLimitsBite: a limit is one when a program has run into it. Each row is a
// script under some keys of the config block. It must print something for each of
// want, and without the keys nothing of it.
func TestLimitsBite(t *testing.T) {
	t.Parallel()
	const busy = "i=0; while [ $i -lt 10000 ]; do i=$((i+1)); done; grep nr_throttled /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/cpu.stat"
	// Without a limit it takes a moment, or seconds where two machines share a processor.
	const took10s = `copied, [1-9][0-9]+\.?[0-9]* s`
	tests := []struct {
		name   string
		config keys
		script string
		want   text
	}{
		{"tasks_max", keys{"tasks_max": 5}, "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done 2>&1", text{"Cannot fork"}},
		{"cpu quota", keys{"systemd": keys{"CPUQuota": text{"20%"}}}, busy, text{"nr_throttled [1-9]"}},
		{"cpu_hard_limit", keys{"cpu_hard_limit": true}, busy, text{"nr_throttled [1-9]"}},
		{
			"ulimit",
			keys{"ulimit": keys{"nofile": "16", "fsize": "4K", "nproc": "777"}},
			"grep processes /proc/self/limits; dd if=/dev/zero of=/local/x bs=1K count=100 2>&1; wc -c </local/x; bash -c 'exec 20</dev/null && echo opened' 2>&1",
			text{"777 +777", `(?m)^4096$`, "Bad file descriptor|Too many open files|Invalid argument"},
		},
		{
			"io.write_bandwidth",
			keys{"io": keys{"write_bandwidth": text{"/dev/vda 160K"}}},
			"dd if=/dev/zero of=/local/x bs=256K count=8 oflag=direct 2>&1",
			text{took10s},
		},
		{
			"io.read_bandwidth",
			keys{"io": keys{"read_bandwidth": text{"/dev/vda 160K"}}},
			"dd if=/dev/zero of=/local/x bs=256K count=8 oflag=direct 2>/dev/null; dd if=/local/x of=/dev/null bs=256K iflag=direct 2>&1",
			text{took10s},
		},
		{
			"io.write_iops",
			keys{"io": keys{"write_iops": text{"/dev/vda 5"}}},
			"dd if=/dev/zero of=/local/x bs=4K count=60 oflag=direct 2>&1",
			text{took10s},
		},
		{
			"io.read_iops",
			keys{"io": keys{"read_iops": text{"/dev/vda 5"}}},
			"dd if=/dev/zero of=/local/x bs=240K count=1 oflag=direct 2>/dev/null; dd if=/local/x of=/dev/null bs=4K iflag=direct 2>&1",
			text{took10s},
		},
		{
			"memory_high",
			keys{"memory_high": "8M"},
			"dd if=/dev/zero of=/local/x bs=1M count=16 2>/dev/null; grep -w high /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/memory.events",
			text{"high [1-9]"},
		},
		{
			"system calls",
			keys{"syscall_filter": text{"~mkdir mkdirat", "~@chown:EACCES"}},
			"mkdir /local/dir 2>&1; chown $(id -u) /local 2>&1",
			text{"mkdir: .*Operation not permitted", "chown: .*Permission denied"},
		},
		{"capabilities.add", keys{"capabilities": keys{"add": text{"net_bind_service"}}}, "grep CapEff /proc/self/status", text{"0000000000000400"}},
		{
			"paths",
			keys{"systemd": keys{"ReadOnlyPaths": text{"/alloc"}, "InaccessiblePaths": text{"/etc/hosts -/nowhere"}, "NoExecPaths": text{"/usr/bin/id"}}},
			"touch /alloc/data/x 2>&1; cat /etc/hosts 2>&1; /usr/bin/id 2>&1",
			text{"touch: .*Read-only file system", "cat: .*Permission denied", "id: .*[Pp]ermission denied"},
		},
		{"network", keys{"network": "none"}, "tail -n +3 /proc/net/dev | cut -d: -f1 | sort | tr -d ' '", text{`\Alo\n\z`}},
		{"addresses", keys{"ip_deny": text{"any"}, "ip_allow": text{"10.0.0.0/8"}}, "bash -c 'echo x >/dev/udp/127.0.0.1/9' 2>&1", text{"not permitted"}},
		{"address families", keys{"systemd": keys{"RestrictAddressFamilies": text{"none"}}}, askAgent, text{`curl: \(7\)`}},
		{
			"settings",
			keys{
				"cpu_weight": 321, "nice": 7, "oom_score_adjust": 321, "umask": "0077", "workdir": "/alloc", "cpu_scheduling": "batch", "io_scheduling": "idle",
				"systemd": keys{"TemporaryFileSystem": text{"/var:size=64K"}, "PrivateUsers": text{"yes"}, "ProcSubset": text{"pid"}},
			},
			"cat /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/cpu.weight; nice; cat /proc/self/oom_score_adj; umask; pwd; chrt -p $$; ionice; df /var | tail -n 1; wc -l </proc/self/uid_map; ls /proc/meminfo 2>&1",
			text{"^321\n7\n321\n0077\n/alloc\n", "SCHED_BATCH", "idle", "tmpfs +64 ", `\n[2-9]\nls: `, "/proc/meminfo.: No such file"},
		},
	}
	// One task without the keys runs all scripts.
	const mark = "=== next"
	var all strings.Builder
	for _, tt := range tests {
		fmt.Fprintf(&all, "(%s) 2>&1; rm -rf /local/x /local/dir; echo '%s'\n", tt.script, mark)
	}
	free := strings.Split(printed(t, "-free", all.String(), nil), mark+"\n")
	if len(free) != len(tests)+1 {
		t.Fatalf("without the keys it prints %q, not the output of %d scripts", free, len(tests))
	}
	for n, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			with, without := printed(t, "", tt.script, tt.config), free[n]
			matches(t, with, tt.want, true)
			matches(t, without, tt.want, false)
		})
	}
}

// TestLimitsLetThrough: what a limit leaves, beside what it takes. Each row is a
// script that must print something for each of both with two configurations, and
// something for each of taken with the narrow one alone.
func TestLimitsLetThrough(t *testing.T) {
	t.Parallel()
	const listen = `python3 -c "import socket; socket.create_server(('', %s))" 2>&1; echo %s ends with $?; `
	for _, tt := range []struct {
		name         string
		wide, narrow keys
		script       string
		taken, both  text
	}{
		{
			"capabilities.drop",
			keys{"capabilities": keys{"add": text{"net_bind_service", "sys_nice"}}},
			keys{"capabilities": keys{"add": text{"net_bind_service", "sys_nice"}, "drop": text{"net_bind_service"}}},
			fmt.Sprintf(listen, "80", "80") + "nice -n -5 nice",
			text{"(?i)Error: .*permission denied", "80 ends with 1"},
			text{"(?m)^-5$"},
		},
		{
			"restrict_ports",
			nil,
			keys{"restrict_ports": true},
			fmt.Sprintf(listen, "4321", "other") + fmt.Sprintf(listen, "$NOMAD_PORT_http", "own"),
			text{"(?i)Error: .*(not permitted|permission denied)", "other ends with 1"},
			text{"own ends with 0"},
		},
		{
			"ip_allow",
			nil,
			keys{"ip_deny": text{"any"}, "ip_allow": text{"127.0.0.1/32"}},
			"bash -c 'echo x >/dev/udp/127.0.0.2/9' 2>&1; " + askAgent,
			text{"127.0.0.2.*not permitted|write error: Operation not permitted"},
			text{`"ok":true`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			with, without := printed(t, "-narrow", tt.script, tt.narrow), printed(t, "-wide", tt.script, tt.wide)
			matches(t, with, tt.taken, true)
			matches(t, without, tt.taken, false)
			matches(t, with, tt.both, true)
			matches(t, without, tt.both, true)
		})
	}
}

// matches fails the test unless out has, or has not, something for each expression.
func matches(t *testing.T, out string, expressions text, has bool) {
	t.Helper()
	for _, e := range expressions {
		if regexp.MustCompile(e).MatchString(out) != has {
			t.Errorf("it prints %q; it is %t that this is to hold %s", out, has, e)
		}
	}
}

// TestSwapLimitBites: without swap a task that needs more than its memory is
// killed, with swap it is not.
func TestSwapLimitBites(t *testing.T) {
	const file = "/var/tmp/e2e-swap"
	run(t, "sh", "-c", "dd if=/dev/zero of="+file+" bs=1M count=192 status=none && chmod 600 "+file+" && mkswap -q "+file+" && swapon "+file)
	t.Cleanup(func() { run(t, "swapoff", file); run(t, "rm", file) })
	for _, tt := range []struct{ max, status string }{{"infinity", "complete"}, {"0", "failed"}} {
		t.Run("memory_swap_max "+tt.max, func(t *testing.T) {
			tk := script("head -c 80000000 /dev/zero | tail -c 70000000 | wc -c")
			tk.Type, tk.Memory, tk.Config["memory_swap_max"] = "batch", 48, tt.max
			j := submit(t, tk)
			ended, killed := j.await(tt.status), func(a allocation) bool { return strings.Contains(j.messages(a), "memory") }
			if tt.status == "failed" {
				watch(t, "/allocation/"+j.alloc, killed)
			} else if killed(ended) {
				t.Errorf("its events:\n%s", j.messages(ended))
			}
		})
	}
}
