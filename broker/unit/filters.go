// SPDX-License-Identifier: MPL-2.0

package unit

import (
	"reflect"
	"slices"
	"strings"
)

// filterLine is a list (bas) of what is allowed or not.
type filterLine struct {
	allow bool
	names []string
}

func filterOf(v any) (filterLine, bool) {
	if wire, ok := v.([]any); ok && len(wire) == 2 {
		allow, ok := wire[0].(bool)
		names, ok2 := wire[1].([]string)
		return filterLine{allow, names}, ok && ok2
	}
	s := reflect.ValueOf(v)
	if s.Kind() != reflect.Struct || s.NumField() != 2 || s.Field(0).Kind() != reflect.Bool {
		return filterLine{}, false
	}
	names, ok := reflect.TypeAssert[[]string](s.Field(1))
	return filterLine{s.Field(0).Bool(), names}, ok
}

// members are system calls that each version of systemd has in these groups.
var members = map[string][]string{
	"@aio":           {"io_submit"},
	"@basic-io":      {"read", "write"},
	"@chown":         {"fchown"},
	"@clock":         {"settimeofday", "clock_settime"},
	"@cpu-emulation": {"modify_ldt"},
	"@debug":         {"ptrace", "perf_event_open"},
	"@file-system":   {"openat"},
	"@io-event":      {"epoll_wait"},
	"@ipc":           {"msgget"},
	"@keyring":       {"keyctl"},
	"@memlock":       {"mlockall"},
	"@module":        {"init_module", "delete_module"},
	"@mount":         {"mount", "pivot_root"},
	"@network-io":    {"socket", "bind"},
	"@obsolete":      {"create_module"},
	"@privileged":    {"reboot", "settimeofday"},
	"@process":       {"clone", "kill"},
	"@raw-io":        {"iopl"},
	"@reboot":        {"reboot", "kexec_load"},
	"@resources":     {"setpriority", "sched_setaffinity"},
	"@setuid":        {"setuid"},
	"@signal":        {"rt_sigaction"},
	"@swap":          {"swapon"},
	"@sync":          {"fsync"},
	"@timer":         {"timer_create"},
}

// sameFilter follows the lines of a filter as PID 1 does: the first gives the
// sense, later ones add to it or take away. Only names that no later line of the
// other sense can have touched are compared.
func sameFilter(sent []any, got any) bool {
	is, ok := filterOf(got)
	if !ok {
		return false
	}
	var lines []filterLine
	for _, s := range sent {
		line, ok := filterOf(s)
		if !ok {
			return false
		}
		if len(line.names) == 0 {
			lines = nil
			if !line.allow {
				continue
			}
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return len(is.names) == 0
	}
	if is.allow != lines[0].allow {
		return false
	}
	has := make(map[string]bool, len(is.names))
	for _, name := range is.names {
		name, _, _ = strings.Cut(name, ":")
		has[name] = true
	}
	for i, line := range lines {
		if slices.ContainsFunc(lines[i+1:], func(l filterLine) bool { return l.allow != line.allow }) {
			continue
		}
		for _, name := range line.names {
			if !probed(name, has, line.allow == is.allow) {
				return false
			}
		}
	}
	return true
}

// probed is whether a name, or the members of a group, are in the list or not, as
// they should be.
func probed(name string, has map[string]bool, want bool) bool {
	name, _, _ = strings.Cut(name, ":")
	if has[name] && strings.HasPrefix(name, "@") {
		return want
	}
	if !strings.HasPrefix(name, "@") {
		return has[name] == want
	}
	for _, member := range members[name] {
		if has[member] != want {
			return false
		}
	}
	return true
}
