// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// reserved are directives that PID 1 would take and no policy can offer: requests
// have fields of their own for them, which policy decides on.
var reserved = map[string]string{
	"AllowedCPUs":             "cores in a job's resources",
	"CPUWeight":               "cpu in a job's resources, or cpu_weight",
	"LogRateLimitBurst":       "logging.rate_limit_burst",
	"LogRateLimitIntervalSec": "logging.rate_limit_interval",
	"MemoryLow":               "memory and memory_max in a job's resources",
	"MemoryMax":               "memory and memory_max in a job's resources",
	"StartupMemoryMax":        "memory and memory_max in a job's resources",
	"TasksMax":                "tasks_max",
}

// forced are directives that systemd-brokerd sets for every unit: a request may
// repeat the value, and gets no other.
var forced = map[string]string{
	"KeyringMode":      "private",
	"NoNewPrivileges":  "yes",
	"ProtectSystem":    "strict",
	"RestrictSUIDSGID": "yes",
}

// needs are the features that systemd can be built without, as "systemctl
// --version" shows them: Debian 12 has no BPF_FRAMEWORK, for example. PID 1 only
// logs that it ignores a directive then.
var needs = map[string]string{
	"AppArmorProfile":           "APPARMOR",
	"LockPersonality":           "SECCOMP",
	"MemoryDenyWriteExecute":    "SECCOMP",
	"RestrictAddressFamilies":   "SECCOMP",
	"RestrictFileSystems":       "BPF_FRAMEWORK",
	"RestrictNamespaces":        "SECCOMP",
	"RestrictNetworkInterfaces": "BPF_FRAMEWORK",
	"RestrictRealtime":          "SECCOMP",
	"RestrictSUIDSGID":          "SECCOMP",
	"SELinuxContext":            "SELINUX",
	"SmackProcessLabel":         "SMACK",
	"SocketBindAllow":           "BPF_FRAMEWORK",
	"SocketBindDeny":            "BPF_FRAMEWORK",
	"SystemCallArchitectures":   "SECCOMP",
	"SystemCallErrorNumber":     "SECCOMP",
	"SystemCallFilter":          "SECCOMP",
	"SystemCallLog":             "SECCOMP",
}

// harmless are capabilities with which a program is not as good as root: it can
// disturb others at most, where the policy lets it.
var harmless = []string{
	"CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_IPC_LOCK", "CAP_SYS_NICE",
	"CAP_KILL", "CAP_LEASE", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_SYS_TIME", "CAP_PERFMON",
}

// Refusal is why no policy can offer the directive; empty if one can.
func (d *Directive) Refusal() string {
	if instead, ok := reserved[d.Name]; ok {
		return "requests have a field of their own for it, which policy decides on: use " + instead
	}
	return d.Refused
}

// Setting is a value with what a host needs for it.
type Setting struct {
	Value
	Directive string // that sets it
	Text      string // the directive's lines, for people to read
	// Since is the first systemd that takes it; 0 if all that are supported do.
	Since int
	// Needs is what systemd must be built with, as "systemctl --version" shows it
	// (+SECCOMP); without it PID 1 ignores the directive. Empty for nothing.
	Needs string
}

// Settings are what systemd-brokerd lets a unit have by the lines: Parse, within
// what it forces on every unit. The error is an [*Error].
func (d *Directive) Settings(lines []string) ([]Setting, error) {
	if why := d.Refusal(); why != "" {
		return nil, &Error{d.Name, strings.Join(lines, " "), "is refused: " + why}
	}
	values, err := d.Parse(lines)
	if err != nil {
		return nil, err
	}
	if err := d.checkRules(values); err != nil {
		return nil, &Error{d.Name, strings.Join(lines, " "), err.Error()}
	}
	all := make([]Setting, len(values))
	for i, v := range values {
		all[i] = Setting{v, d.Name, shorten(strings.Join(lines, " ")), max(v.Since, d.Since), needs[d.Name]}
	}
	return all, nil
}

// checkRules holds values against the lists above.
func (d *Directive) checkRules(values []Value) error {
	if to, ok := forced[d.Name]; ok && len(values) > 0 {
		want, err := d.format.parse(d, []string{to})
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(plain(values), plain(want)) {
			return fmt.Errorf("is refused: systemd-brokerd sets %s=%s for every unit", d.Name, to)
		}
	}
	if d.Name != "AmbientCapabilities" || len(values) == 0 {
		return nil
	}
	set, ok := values[len(values)-1].Value.Value().(uint64)
	if !ok {
		return errors.New("is no set of capabilities")
	}
	for _, name := range slices.Sorted(maps.Keys(capabilityNumbers)) {
		if set&(1<<capabilityNumbers[name]) != 0 && !slices.Contains(harmless, name) {
			return fmt.Errorf("has %s, with which a task would be as good as root; possible are %s", name, strings.Join(harmless, ", "))
		}
	}
	return nil
}

// plain are the values without what dbus.Variant adds.
func plain(values []Value) []any {
	all := make([]any, 0, 2*len(values))
	for _, v := range values {
		all = append(all, v.Name, v.Value.Value())
	}
	return all
}

// Priority is the class of values that put a unit before others: memory that
// nobody else gets, real time, locked memory, escape from the OOM killer.
const Priority Class = "priority"

// raised are values of class Priority.
type raised struct {
	values string // what they are, for people to read
	is     func(line string) bool
}

// raising tells the values of class Priority.
var raising = map[string]raised{
	"CPUSchedulingPolicy": {"fifo and rr", func(line string) bool {
		return !slices.Contains([]string{"", "other", "batch", "idle", "0", "3", "5"}, line)
	}},
	"CPUSchedulingPriority":    {"above 0", func(line string) bool { return line != "" && line != "0" }},
	"DefaultMemoryLow":         always,
	"DefaultMemoryMin":         always,
	"DefaultStartupMemoryLow":  always,
	"IODeviceLatencyTargetSec": always,
	"IOSchedulingClass":        {"realtime", func(line string) bool { return line == "realtime" || line == "1" }},
	"LimitMEMLOCK":             always,
	"LimitNICE":                always,
	"LimitRTPRIO":              always,
	"LimitRTTIME":              always,
	"ManagedOOMPreference":     always,
	"MemoryMin":                always,
	"Nice":                     negative,
	"OOMScoreAdjust":           negative,
	"StartupMemoryLow":         always,
}

var (
	always   = raised{"all", func(string) bool { return true }}
	negative = raised{"below 0", func(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "-") }}
)

// Raises are the values of the directive that are of class Priority, for people to
// read; empty if none are or no policy can offer the directive.
func (d *Directive) Raises() string {
	if d.Refusal() != "" {
		return ""
	}
	return raising[d.Name].values
}

// ClassOf is the class of the directive with these lines, which may be above that
// of the directive: Nice=-5 is of class Priority.
func (d *Directive) ClassOf(lines []string) Class {
	if raises := raising[d.Name].is; raises != nil && slices.ContainsFunc(lines, raises) {
		return Priority
	}
	return d.Class
}

// ExceptionOf is the directive from which this one makes exceptions: where that is
// not set, it changes nothing. IPAddressAllow= is none, as it overrides
// IPAddressDeny= of slices.
func (d *Directive) ExceptionOf() (string, bool) {
	of, ok := map[string]string{"SocketBindAllow": "SocketBindDeny", "ExecPaths": "NoExecPaths"}[d.Name]
	return of, ok
}

// AddedCapabilities are those that lines give beyond those of base, of a directive that
// is a set of capabilities; none of any other, or if the lines cannot be read.
func (d *Directive) AddedCapabilities(base, lines []string) uint64 {
	if d.Name != "AmbientCapabilities" && d.Name != "CapabilityBoundingSet" {
		return 0
	}
	return d.capabilities(slices.Concat(base, lines)) &^ d.capabilities(base)
}

func (d *Directive) capabilities(lines []string) uint64 {
	values, err := d.Parse(lines)
	if err != nil || len(values) == 0 {
		return 0
	}
	set, _ := values[len(values)-1].Value.Value().(uint64)
	return set
}

// Capability is the capability of this name as a set, if tasks may have it at all.
func Capability(name string) (set uint64, err error) {
	if !slices.Contains(harmless, name) {
		return 0, fmt.Errorf("%q is no capability that a task may have; possible are %s", name, strings.Join(harmless, ", "))
	}
	return 1 << capabilityNumbers[name], nil
}

// CapabilityNames are the names of a set.
func CapabilityNames(set uint64) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(capabilityNumbers)) {
		if set&(1<<capabilityNumbers[name]) != 0 {
			names = append(names, name)
		}
	}
	return names
}
