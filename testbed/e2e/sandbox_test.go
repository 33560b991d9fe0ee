// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"maps"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestLimitsBite: a limit is one when a program has run into it. Each row is a
// script under some keys of the config block; the same script without them must
// not print the same.
func TestLimitsBite(t *testing.T) {
	t.Parallel()
	systemd := func(name string, lines ...string) map[string]any {
		return map[string]any{"systemd": map[string]any{name: lines}}
	}
	for _, tt := range []struct {
		name   string
		config map[string]any
		script string
		want   string // regular expression for what it prints
	}{
		{"tasks_max", map[string]any{"tasks_max": 5}, "for i in 1 2 3 4 5 6 7 8; do sleep 3 & done 2>&1; wait", "Cannot fork"},
		{"cpu quota", systemd("CPUQuota", "10%"), "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; grep nr_throttled /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/cpu.stat", "nr_throttled [1-9]"},
		{"cpu_hard_limit", map[string]any{"cpu_hard_limit": true}, "i=0; while [ $i -lt 10000 ]; do i=$((i+1)); done; grep nr_throttled /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/cpu.stat", "nr_throttled [1-9]"},
		{"cpu_weight", map[string]any{"cpu_weight": 321}, "cat /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/cpu.weight", "^321\n"},
		{"ulimit nofile", map[string]any{"ulimit": map[string]any{"nofile": "9"}}, "exec 9</dev/null && echo opened", "Bad file descriptor|Too many open files|bad file"},
		{"ulimit fsize", map[string]any{"ulimit": map[string]any{"fsize": "4K"}}, "dd if=/dev/zero of=/local/x bs=1K count=100 2>&1; wc -c </local/x", `\b4096\n`},
		{
			"io.write_bandwidth", map[string]any{"io": map[string]any{"write_bandwidth": []string{"/dev/vda 500K"}}},
			"dd if=/dev/zero of=/local/x bs=256K count=8 oflag=direct 2>&1", `copied, ([3-9]|[1-9][0-9])\.?[0-9]* s`,
		},
		{"syscall_filter", map[string]any{"syscall_filter": []string{"~mkdir mkdirat"}}, "mkdir /local/dir 2>&1 && echo made", "Operation not permitted"},
		{"capabilities.add", map[string]any{"capabilities": map[string]any{"add": []string{"net_bind_service"}}}, "grep CapEff /proc/self/status", "0000000000000400"},
		{"ReadOnlyPaths", systemd("ReadOnlyPaths", "/alloc"), "touch /alloc/data/x 2>&1 && echo made", "Read-only file system"},
		{"InaccessiblePaths", systemd("InaccessiblePaths", "/etc/hosts"), "cat /etc/hosts 2>&1", "Permission denied"},
		{"NoExecPaths", systemd("NoExecPaths", "/usr/bin/id"), "/usr/bin/id 2>&1", "[Pp]ermission denied"},
		{"TemporaryFileSystem", systemd("TemporaryFileSystem", "/var:size=64K"), "df /var | tail -n 1", `tmpfs +64 `},
		{"network", map[string]any{"network": "none"}, "tail -n +3 /proc/net/dev | cut -d: -f1 | sort | tr -d ' '", `\Alo\n\z`},
		{"ip_deny", map[string]any{"ip_deny": []string{"any"}}, "curl -sS -m 3 http://127.0.0.1:4646/v1/agent/health 2>&1 | head -c 100", `curl: \((7|28)\)`},
		{"ip_allow", map[string]any{"ip_deny": []string{"any"}, "ip_allow": []string{"10.0.0.0/8"}}, "curl -sS -m 3 http://127.0.0.1:4646/v1/agent/health 2>&1 | head -c 100", `curl: \((7|28)\)`},
		{"restrict_ports", map[string]any{"restrict_ports": true}, "timeout 1 busybox nc -l -p 4321 2>&1; echo $?", "bind: .*not permitted|bind: .*[Pp]ermission denied"},
		{"RestrictAddressFamilies", systemd("RestrictAddressFamilies", "none"), "curl -sS -m 3 http://127.0.0.1:4646/v1/agent/health 2>&1 | head -c 100", `curl: \(7\)`},
		{"nice", map[string]any{"nice": 7}, "nice", "^7\n"},
		{"oom_score_adjust", map[string]any{"oom_score_adjust": 321}, "cat /proc/self/oom_score_adj", "^321\n"},
		{"umask", map[string]any{"umask": "0077"}, "umask", "^0077\n"},
		{"workdir", map[string]any{"workdir": "/alloc"}, "pwd", "^/alloc\n"},
		{"cpu_scheduling", map[string]any{"cpu_scheduling": "batch"}, "chrt -p $$", "SCHED_BATCH"},
		{"io_scheduling", map[string]any{"io_scheduling": "idle"}, "ionice", "idle"},
		{"LimitNPROC", systemd("LimitNPROC", "777"), "grep processes /proc/self/limits", "777 +777"},
		{"PrivateUsers", systemd("PrivateUsers", "yes"), "wc -l </proc/self/uid_map", `^[2-9]\n`},
		{"ProcSubset", systemd("ProcSubset", "pid"), "ls /proc/meminfo 2>&1", "No such file"},
		{"SystemCallFilter with an error", systemd("SystemCallFilter", "~@chown:EACCES"), "chown $(id -u) /local 2>&1", "Permission denied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			of := func(t *testing.T, config map[string]any) string {
				tk := script(tt.script)
				tk.Type, tk.CPU = "batch", 100
				maps.Copy(tk.Config, config)
				j := submit(t, tk)
				a := watch(t, "/job/"+j.id+"/allocations", func(a []allocation) bool { return len(a) > 0 && a[0].ended() })
				j.alloc = a[0].ID
				text := j.messages(a[0])
				if strings.Contains(text, "built with BPF_FRAMEWORK") && !strings.Contains(run(t, "systemctl", "--version"), "+BPF_FRAMEWORK") {
					t.Skip("this systemd cannot, and says so")
				}
				if !strings.Contains(text, "Started") {
					t.Fatalf("it did not start:\n%s", text)
				}
				return j.logs("stdout") + j.logs("stderr")
			}
			want := regexp.MustCompile(tt.want)
			if got := of(t, tt.config); !want.MatchString(got) {
				t.Errorf("it prints %q, want %s", got, tt.want)
			}
			t.Run("without", func(t *testing.T) {
				if got := of(t, nil); want.MatchString(got) {
					t.Errorf("it prints %q all the same", got)
				}
			})
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
		{"a misspelling", map[string]any{"systemd": map[string]any{"ProtectHostnme": []string{"yes"}}}, []string{"ProtectHostnme", "did you mean ProtectHostname?"}},
		{"a wrong value", map[string]any{"umask": "99"}, []string{`UMask: \"99\" is not an octal mode`}},
		{"less than the profile", map[string]any{"systemd": map[string]any{"PrivateDevices": []string{"no"}}}, []string{"PrivateDevices=no", "can only tighten"}},
		{"a directive of no policy", map[string]any{"systemd": map[string]any{"ExecStopPost": []string{"/bin/true"}}}, []string{"no policy can allow it"}},
		{"a directive of another class", map[string]any{"nice": -5}, []string{"Nice=-5", "of class priority"}},
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
