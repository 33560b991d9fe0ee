// SPDX-License-Identifier: MPL-2.0

package directive

import "slices"

// execRows are the directives of systemd.exec(5).
var execRows = slices.Concat([][]*Directive{execSafe, execResource, execIdentity, execLimits}, execRefused)

var execSafe = offered(Safe,
	offer("CPUSchedulingResetOnFork", "children lose a real-time policy", boolean),
	offer("CoredumpFilter", "what a core dump holds", coredumpFilter),
	offer("ExecPaths", "paths where NoExecPaths= does not apply", opening),
	offer("ExecSearchPath", "where programs without a path are searched", searchPath),
	offer("IgnoreSIGPIPE", "writing to a closed pipe is an error and no signal", boolean),
	offer("InaccessibleDirectories", "old name of InaccessiblePaths=", closing),
	offer("InaccessiblePaths", "paths that cannot be reached at all", closing),
	offer("LockPersonality", "the execution domain cannot be changed", protection),
	offer("LogFilterPatterns", "log messages to keep or to drop", patterns).since(253),
	offer("LogLevelMax", "less important log messages are dropped", logLevel),
	offer("MemoryDenyWriteExecute", "no memory that is both writable and executable", protection),
	offer("NoExecPaths", "paths from which nothing can be executed", closing),
	offer("NoNewPrivileges", "setuid programs and file capabilities give nothing", protection),
	offer("NonBlocking", "passed descriptors are non-blocking", boolean),
	offer("Personality", "what uname(2) says the processor is", personality),
	offer("PrivateDevices", "only pseudo devices as /dev/null", protection),
	offer("PrivateIPC", "own System V and POSIX message queues", protection),
	offer("PrivateMounts", "own mount namespace", protection),
	offer("PrivateNetwork", "no network but a loopback of its own", protection),
	offer("PrivatePIDs", "own process ids", enumBool(option{name: "no"}, option{name: "yes", rank: 1})).since(257),
	offer("PrivateTmp", "own /tmp and /var/tmp", enumEx(
		option{name: "no"}, option{name: "yes", rank: 1}, option{name: "disconnected", rank: 2, since: 257},
	)).sets(Bus{"PrivateTmp", "b"}, Bus{"PrivateTmpEx", "s"}),
	offer("PrivateUsers", "own users: those of the host become nobody", enumEx(
		option{name: "no"}, option{name: "yes", rank: 3}, option{name: "self", rank: 3, since: 257},
		option{name: "identity", rank: 2, since: 257}, option{name: "full", rank: 1, since: 258},
	)).sets(Bus{"PrivateUsers", "b"}, Bus{"PrivateUsersEx", "s"}),
	offer("ProcSubset", "which part of /proc there is", enum(option{name: "all"}, option{name: "pid", rank: 1})),
	offer("ProtectClock", "the clock cannot be set", protection),
	offer("ProtectControlGroups", "control groups are read-only", enumEx(
		option{name: "no"}, option{name: "yes", rank: 1},
		option{name: "private", rank: 1, since: 257}, option{name: "strict", rank: 2, since: 257},
	)).sets(Bus{"ProtectControlGroups", "b"}, Bus{"ProtectControlGroupsEx", "s"}),
	offer("ProtectHome", "home directories are hidden or read-only", enumBool(
		option{name: "no"}, option{name: "read-only", rank: 1}, option{name: "tmpfs", rank: 2}, option{name: "yes", rank: 3},
	)),
	offer("ProtectHostname", "the host name cannot be set, or is the unit's own", hostname).
		sets(Bus{"ProtectHostname", "b"}, Bus{"ProtectHostnameEx", "(ss)"}),
	offer("ProtectKernelLogs", "the kernel's log cannot be read", protection),
	offer("ProtectKernelModules", "no kernel modules", protection),
	offer("ProtectKernelTunables", "/proc/sys and /sys are read-only", protection),
	offer("ProtectProc", "processes of others are hidden", enum(
		option{name: "default"}, option{name: "noaccess", rank: 1}, option{name: "invisible", rank: 2}, option{name: "ptraceable", rank: 3},
	)),
	offer("ProtectSystem", "/usr, /etc or all is read-only", enumBool(
		option{name: "no"}, option{name: "yes", rank: 1}, option{name: "full", rank: 2}, option{name: "strict", rank: 3},
	)),
	offer("ReadOnlyDirectories", "old name of ReadOnlyPaths=", closing),
	offer("ReadOnlyPaths", "paths that cannot be written", closing),
	offer("RestrictAddressFamilies", "kinds of sockets", restrictAddressFamilies),
	offer("RestrictFileSystems", "types of file systems that can be opened", restrictFileSystems),
	offer("RestrictNamespaces", "kinds of namespaces that can be made", restrictNamespaces),
	offer("RestrictRealtime", "no real-time scheduling", protection),
	offer("RestrictSUIDSGID", "setuid and setgid files cannot be made", protection),
	offer("SetLoginEnvironment", "sets HOME, LOGNAME and SHELL", boolean).since(255),
	offer("SyslogFacility", "facility of log messages", facility),
	offer("SyslogIdentifier", "name in front of log messages", text),
	offer("SyslogLevel", "level of log messages without one", logLevel),
	offer("SyslogLevelPrefix", "<N> in front of a log message is its level", boolean),
	offer("SystemCallArchitectures", "whose system calls can be made", systemCallArchitectures),
	offer("SystemCallErrorNumber", "what a denied system call returns", errno),
	offer("SystemCallFilter", "system calls that can be made", systemCallFilter),
	offer("SystemCallLog", "system calls that are logged", systemCallLog),
	offer("TimerSlackNSec", "how late timers may fire", nanos),
	offer("UMask", "permissions that new files lack", umask),
	offer("UnsetEnvironment", "environment variables to remove", variables),
)

var execResource = offered(Resource,
	offer("CPUAffinity", "CPUs to run on", affinity).sets(Bus{"CPUAffinity", "ay"}, Bus{"CPUAffinityFromNUMA", "b"}),
	offer("CPUSchedulingPolicy", "scheduler of the CPUs", schedulingPolicy),
	offer("CPUSchedulingPriority", "priority under fifo and rr", integer(0, 99)),
	offer("IOSchedulingClass", "scheduler of disks", ioClass),
	offer("IOSchedulingPriority", "priority of disk access, 0 is highest", integer(0, 7).with(higher(4))),
	offer("LogRateLimitBurst", "log messages in an interval", upTo32),
	offer("LogRateLimitIntervalSec", "interval of LogRateLimitBurst=", timespan).sets(Bus{"LogRateLimitIntervalUSec", "t"}),
	offer("MemoryKSM", "the kernel merges equal pages", boolean).since(254),
	offer("NUMAMask", "memory nodes of NUMAPolicy=", cpus),
	offer("NUMAPolicy", "which memory nodes give memory", numaPolicy),
	offer("Nice", "priority, -20 is highest", integer(-20, 19).with(higher(0))),
	offer("OOMScoreAdjust", "who is killed when memory is short, 1000 is first", integer(-1000, 1000).with(higher(0))),
	offer("TemporaryFileSystem", "empty file systems in memory", temporaryFileSystems),
)

var execIdentity = offered(Identity,
	offer("AmbientCapabilities", "capabilities the program starts with", capabilities(0)),
	offer("AppArmorProfile", "AppArmor profile", label),
	offer("CapabilityBoundingSet", "capabilities the program can ever have", capabilities(everyCapability)),
	offer("KeyringMode", "which kernel keys the program has", enum(
		option{name: "private", rank: 1}, option{name: "inherit"}, option{name: "shared"},
	)),
	offer("SELinuxContext", "SELinux context", context),
	offer("SecureBits", "how capabilities and uids go together", secureBits),
	offer("SmackProcessLabel", "SMACK label", label),
)

// execLimits are resource limits of a process, setrlimit(2).
var execLimits = func() []*Directive {
	var rows []*Directive
	for _, l := range []struct {
		name, summary string
		format        format
	}{
		{"LimitAS", "address space of a process", rlimitSize},
		{"LimitCORE", "size of a core dump", rlimitSize},
		{"LimitCPU", "CPU time of a process", rlimitSec},
		{"LimitDATA", "data segment of a process", rlimitSize},
		{"LimitFSIZE", "size of a file that is written", rlimitSize},
		{"LimitLOCKS", "file locks of a process", rlimitCount},
		{"LimitMEMLOCK", "memory that stays out of swap", rlimitSize},
		{"LimitMSGQUEUE", "POSIX message queues of a user", rlimitSize},
		{"LimitNICE", "highest priority of a process", rlimitNice},
		{"LimitNOFILE", "open files of a process", rlimitCount},
		{"LimitNPROC", "processes of a user", rlimitCount},
		{"LimitRSS", "has no effect on Linux", rlimitSize},
		{"LimitRTPRIO", "real-time priority of a process", rlimitCount},
		{"LimitRTTIME", "CPU time of a real-time process without a pause", rlimitUsec},
		{"LimitSIGPENDING", "queued signals of a user", rlimitCount},
		{"LimitSTACK", "stack of a process", rlimitSize},
	} {
		rows = append(rows, offer(l.name, l.summary, l.format).sets(Bus{l.name, "t"}, Bus{l.name + "Soft", "t"}))
	}
	return offered(Resource, rows...)
}()
