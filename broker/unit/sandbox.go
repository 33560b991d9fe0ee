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

// sandbox is forced on every unit. See systemd.exec(5) for each.
//
// PrivateDevices= closes all devices but the pseudo devices such as /dev/null.
// RestrictSUIDSGID= makes openat2(2) fail with ENOSYS inside the task, for
// which programs that use it have a fallback; see docs/job-reference.md.
var sandbox = []Property{
	boolean("NoNewPrivileges", true),
	{"CapabilityBoundingSet", dbus.MakeVariant(uint64(0))},
	{"AmbientCapabilities", dbus.MakeVariant(uint64(0))},
	boolean("PrivateDevices", true),
	boolean("PrivateTmp", true),
	boolean("ProtectKernelTunables", true),
	boolean("ProtectKernelModules", true),
	boolean("ProtectKernelLogs", true),
	boolean("ProtectControlGroups", true),
	boolean("ProtectClock", true),
	boolean("ProtectHostname", true),
	str("ProtectProc", "invisible"),
	str("ProtectSystem", "strict"),
	boolean("RestrictSUIDSGID", true),
	boolean("RestrictRealtime", true),
	boolean("LockPersonality", true),
	str("KeyringMode", "private"),
	{"UMask", dbus.MakeVariant(uint32(0o022))},
	{"RestrictNamespaces", dbus.MakeVariant(uint64(0))},
	{"SystemCallArchitectures", dbus.MakeVariant([]string{"native"})},
	{"SystemCallFilter", dbus.MakeVariant(systemCallFilter{
		Allow: false,
		Names: []string{
			"@clock", "@cpu-emulation", "@debug", "@module", "@mount",
			"@obsolete", "@raw-io", "@reboot", "@swap",
		},
	})},
	{"SystemCallErrorNumber", dbus.MakeVariant(int32(1))}, // EPERM
	{"LimitCORE", dbus.MakeVariant(uint64(0))},
	{"LimitCORESoft", dbus.MakeVariant(uint64(0))},
}

// systemCallFilter is SystemCallFilter= on D-Bus, (bas): an allow-list, or with
// Allow false a deny-list.
type systemCallFilter struct {
	Allow bool
	Names []string
}

func str(name, value string) Property { return Property{name, dbus.MakeVariant(value)} }

func boolean(name string, value bool) Property { return Property{name, dbus.MakeVariant(value)} }

func number(name string, value uint64) Property { return Property{name, dbus.MakeVariant(value)} }
