// SPDX-License-Identifier: MPL-2.0

package unit

import "github.com/godbus/dbus/v5"

// lifecycle is what makes a unit a task: it runs once, its exit status is kept
// until somebody reads it, nothing restarts it, and all its processes end with
// it. See systemd.service(5), systemd.kill(5) and systemd.unit(5).
//
// Type=exec reports a program that cannot be executed as a failed start.
// RemainAfterExit= keeps the exit status of a program that ended well, also
// while the broker is away. TimeoutStartUSec= is below the time the broker waits
// for a start, so that PID 1 gives up first and no start has an unknown outcome
// for its slowness alone. OOMPolicy=kill lets the kernel take the whole
// control group down, so that no half of a task survives.
var lifecycle = []Property{
	str("Type", "exec"),
	boolean("RemainAfterExit", true),
	str("CollectMode", "inactive"),
	str("Restart", "no"),
	str("KillMode", "control-group"),
	boolean("SendSIGKILL", true),
	{"TimeoutStartUSec", dbus.MakeVariant(uint64(60_000_000))},
	{"TimeoutStopUSec", dbus.MakeVariant(uint64(10_000_000))},
	{"StartLimitIntervalUSec", dbus.MakeVariant(uint64(0))},
	str("OOMPolicy", "kill"),
	str("NotifyAccess", "none"),
	{"FileDescriptorStoreMax", dbus.MakeVariant(uint32(0))},
}

// floor is forced on every unit, whatever its profile: without it a program that
// is started as somebody could become root, or leave behind what makes somebody
// else root, or act for the user that systemd runs as. The rest of a unit's
// sandbox is its profile's. See systemd.exec(5) for each.
//
// NoExecPaths= makes of /secrets what it is under an agent that is root: nothing
// there is executed. NoNewPrivileges= makes systemd mount all with nosuid.
//
// RestrictSUIDSGID= makes openat2(2) fail with ENOSYS inside the task, for
// which programs that use it have a fallback; see docs/job-reference.md.
var floor = []Property{
	boolean("NoNewPrivileges", true),
	str("ProtectSystem", "strict"),
	boolean("RestrictSUIDSGID", true),
	{"NoExecPaths", dbus.MakeVariant([]string{"-+/secrets"})},
	str("KeyringMode", "private"),
	boolean("MemoryAccounting", true),
	boolean("CPUAccounting", true),
	boolean("TasksAccounting", true),
	boolean("IOAccounting", true),
}

// noURing is forced too, after the filters among values: the kernel does what is
// asked through an io_uring without asking a filter, and a file made that way could be
// setuid. Programs find none, as on a kernel that has none, and have a fallback for
// that. A list of what is allowed has its own answer for all else: with another one
// for a single call, systemd 257 cannot install it.
func noURing(values []Property) Property {
	var first *filterLine
	for _, v := range values {
		if v.Name != "SystemCallFilter" {
			continue
		}
		if line, ok := filterOf(v.Value.Value()); ok && len(line.names) == 0 {
			first = nil // PID 1 begins again
		} else if ok && first == nil {
			first = &line
		}
	}
	call := "io_uring_setup:ENOSYS"
	if first != nil && first.allow {
		call = "io_uring_setup"
	}
	return Property{"SystemCallFilter", dbus.MakeVariant(syscalls{false, []string{call}})}
}

// syscalls is SystemCallFilter= on D-Bus, (bas): whether the calls are allowed, their
// names with errors.
type syscalls struct {
	Allow bool
	Names []string
}

func str(name, value string) Property { return Property{name, dbus.MakeVariant(value)} }

func boolean(name string, value bool) Property { return Property{name, dbus.MakeVariant(value)} }

func number(name string, value uint64) Property { return Property{name, dbus.MakeVariant(value)} }
