// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestLimitsBite: a limit is one when a program has run into it. Each row is a
// script under some keys of the config block. It must print something for each of
// want, and without the keys nothing of it.
func TestLimitsBite(t *testing.T) {
	t.Parallel()
	const busy = "i=0; while [ $i -lt 10000 ]; do i=$((i+1)); done; grep nr_throttled /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/cpu.stat"
	const ask = "curl -sS -m 3 http://127.0.0.1:4646/v1/agent/health 2>&1 | head -c 100"
	type (
		keys = map[string]any
		text = []string
	)
	tests := []struct {
		name   string
		config keys
		script string
		want   text // regular expressions
	}{
		{"tasks_max", keys{"tasks_max": 5}, "for i in 1 2 3 4 5 6 7 8; do sleep 3 & done 2>&1; wait", text{"Cannot fork"}},
		{"cpu quota", keys{"systemd": keys{"CPUQuota": text{"5%"}}}, busy, text{"nr_throttled [1-9]"}},
		{"cpu_hard_limit", keys{"cpu_hard_limit": true}, busy, text{"nr_throttled [1-9]"}},
		{
			"ulimit",
			keys{"ulimit": keys{"nofile": "16", "fsize": "4K", "nproc": "777"}},
			"grep processes /proc/self/limits; dd if=/dev/zero of=/local/x bs=1K count=100 2>&1; wc -c </local/x; bash -c 'exec 20</dev/null && echo opened' 2>&1",
			text{"777 +777", `(?m)^4096$`, "Bad file descriptor|Too many open files|Invalid argument"},
		},
		{
			"io.write_bandwidth",
			keys{"io": keys{"write_bandwidth": text{"/dev/vda 500K"}}},
			"dd if=/dev/zero of=/local/x bs=256K count=8 oflag=direct 2>&1",
			text{`copied, ([3-9]|[1-9][0-9])\.?[0-9]* s`},
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
		{"addresses", keys{"ip_deny": text{"any"}, "ip_allow": text{"10.0.0.0/8"}}, ask, text{`curl: \((7|28)\)`}},
		{"address families", keys{"systemd": keys{"RestrictAddressFamilies": text{"none"}}}, ask, text{`curl: \(7\)`}},
		{"restrict_ports", keys{"restrict_ports": true}, "timeout 1 busybox nc -l -p 4321 2>&1; echo $?", text{"bind: .*not permitted|bind: .*[Pp]ermission denied"}},
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
	of := func(t *testing.T, text string, config keys) string {
		tk := script(text)
		tk.Type, tk.CPU = "batch", 100
		maps.Copy(tk.Config, config)
		j := submit(t, tk)
		a := watch(t, "/job/"+j.id+"/allocations", func(a []allocation) bool { return len(a) > 0 && a[0].ended() })
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
	// One task without the keys runs all scripts.
	const mark = "=== next"
	var all strings.Builder
	for _, tt := range tests {
		fmt.Fprintf(&all, "(%s) 2>&1; rm -rf /local/x /local/dir; echo '%s'\n", tt.script, mark)
	}
	free := strings.Split(of(t, all.String(), nil), mark+"\n")
	if len(free) != len(tests)+1 {
		t.Fatalf("without the keys it prints %q, not the output of %d scripts", free, len(tests))
	}
	for n, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			with, without := of(t, tt.script, tt.config), free[n]
			for _, want := range tt.want {
				if !regexp.MustCompile(want).MatchString(with) {
					t.Errorf("it prints %q, want %s", with, want)
				}
				if regexp.MustCompile(want).MatchString(without) {
					t.Errorf("without the keys it prints %q all the same", without)
				}
			}
		})
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
			text := j.messages(j.await(tt.status))
			if killed := strings.Contains(text, "memory"); killed != (tt.status == "failed") {
				t.Errorf("its events:\n%s", text)
			}
		})
	}
}

// TestProfiles measures the exposure of a task under each profile, and that the
// profile is what the unit has.
func TestProfiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		profile string
		most    float64
	}{{"strict", 1.5}, {"default", 3.0}, {"network-off", 3.0}, {"trusted", 5.0}} {
		t.Run(tt.profile, func(t *testing.T) {
			t.Parallel()
			tk := script("echo ready; exec sleep 600")
			tk.Config["profile"] = tt.profile
			j := submit(t, tk)
			j.await("running")
			j.awaitLog("ready")
			out := run(t, "systemd-analyze", "security", "--no-pager", j.unit())
			m := regexp.MustCompile(`Overall exposure level for .*: ([0-9.]+)`).FindStringSubmatch(out)
			if m == nil {
				t.Fatalf("systemd-analyze says:\n%s", out)
			}
			score, err := strconv.ParseFloat(m[1], 64)
			if err != nil || score > tt.most {
				t.Errorf("the exposure is %s, want at most %.1f:\n%s", m[1], tt.most, out)
			}
			t.Logf("profile %s: exposure %s", tt.profile, m[1])
		})
	}
}

// TestDirectivesAreRefusedWithTheReason: what an author reads who asks for too
// much, or makes a mistake.
func TestDirectivesAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		config map[string]any
		want   []string
	}{
		{"a misspelling", map[string]any{"systemd": map[string]any{"ProtectHostnme": []string{"yes"}}}, []string{"did you mean ProtectHostname?", "comes from systemd.ProtectHostnme in"}},
		{"a wrong value", map[string]any{"umask": "99"}, []string{`UMask: \"99\" is not an octal number`, "comes from umask in the task's config"}},
		{"less than the profile", map[string]any{"systemd": map[string]any{"PrivateDevices": []string{"no"}}}, []string{"PrivateDevices=no", "can only tighten"}},
		{"a directive of no policy", map[string]any{"systemd": map[string]any{"ExecStopPost": []string{"/bin/true"}}}, []string{"no policy can allow it"}},
		{"a directive of another class", map[string]any{"nice": -5}, []string{"Nice=-5", "of class priority", "comes from nice in"}},
		{"a profile of no rule", map[string]any{"profile": "nosuch"}, []string{"nosuch", "profile"}},
		{"a capability that is as good as root", map[string]any{"capabilities": map[string]any{"add": []string{"sys_admin"}}}, []string{"CAP_SYS_ADMIN", "as good as root"}},
		{"privileges", map[string]any{"no_new_privileges": false}, []string{"cannot be turned off"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tk := script("echo ready")
			tk.Type = "batch"
			maps.Copy(tk.Config, tt.config)
			j := submit(t, tk)
			text := strings.ReplaceAll(j.messages(j.await("failed")), `"`, `\"`)
			for _, want := range tt.want {
				if !strings.Contains(text, want) {
					t.Errorf("no event has %s:\n%s", want, text)
				}
			}
		})
	}
}
