// SPDX-License-Identifier: MPL-2.0

package directive

// sandboxTable are directives that take rights away, and few that give some back.
var sandboxTable = []*Directive{
	forced(flag("NoNewPrivileges", Safe, yes, "execve(2) never grants a privilege, as by setuid bits"), "yes"),
	flag("LockPersonality", Safe, yes, "personality(2) is locked"),
	flag("MemoryDenyWriteExecute", Safe, yes, "no memory is writable and executable at once"),
	flag("PrivateDevices", Safe, yes, "only pseudo devices such as /dev/null"),
	flag("PrivateIPC", Safe, yes, "System V and POSIX message queues of its own"),
	flag("PrivateMounts", Safe, yes, "a mount namespace of its own"),
	flag("PrivateNetwork", Safe, yes, "no network but a loopback of its own"),
	flag("ProtectClock", Safe, yes, "the system clock cannot be set"),
	flag("ProtectHostname", Safe, yes, "the host name cannot be changed"),
	flag("ProtectKernelLogs", Safe, yes, "the kernel's log cannot be read or written"),
	flag("ProtectKernelModules", Safe, yes, "kernel modules cannot be loaded"),
	flag("ProtectKernelTunables", Safe, yes, "/proc/sys, /sys and others are read-only"),
	flag("RestrictRealtime", Safe, yes, "no realtime scheduling"),
	forced(flag("RestrictSUIDSGID", Safe, yes, "setuid and setgid bits cannot be set"), "yes"),
	word("ProcSubset", Safe, "what of /proc is there", "all", "pid"),
	{
		Name: "ProtectProc", Buses: bus("ProtectProc", "s"), Class: Safe,
		Summary: "processes of others in /proc: default, ptraceable, noaccess, invisible",
		parse:   enum("ProtectProc", "default", "ptraceable", "noaccess", "invisible"),
		tighter: ascending("default", "noaccess", "invisible"),
	},
	{
		Name: "ProtectHome", Buses: bus("ProtectHome", "s"), Class: Safe,
		Summary: "/home, /root and /run/user: no, read-only, tmpfs, yes",
		parse:   enum("ProtectHome", "no", "read-only", "tmpfs", "yes"),
		tighter: ascending("no", "read-only", "tmpfs", "yes"),
	},
	forced(word("ProtectSystem", Safe, "what of the file system is read-only", "no", "yes", "full", "strict"), "strict"),
	{
		Name: "ProtectControlGroups", Buses: []Bus{{"ProtectControlGroups", "b"}, {"ProtectControlGroupsEx", "s"}}, Class: Safe,
		Summary: "the control group hierarchy is read-only; private and strict need systemd 257",
		parse:   orExtended("ProtectControlGroups", "ProtectControlGroupsEx", 257, "private", "strict"),
		tighter: ascending("no", "yes", "private", "strict"),
	},
	{
		Name: "PrivateTmp", Buses: []Bus{{"PrivateTmp", "b"}, {"PrivateTmpEx", "s"}}, Class: Safe,
		Summary: "/tmp and /var/tmp of its own; disconnected needs systemd 257",
		parse:   orExtended("PrivateTmp", "PrivateTmpEx", 257, "disconnected"),
		tighter: ascending("no", "yes", "disconnected"),
	},
	{
		Name: "PrivateUsers", Buses: []Bus{{"PrivateUsers", "b"}, {"PrivateUsersEx", "s"}}, Class: Safe,
		Summary: "a user namespace of its own; self and identity need systemd 257",
		parse:   orExtended("PrivateUsers", "PrivateUsersEx", 257, "self", "identity"),
		tighter: ascending("no", "yes"),
	},
	in(257, &Directive{
		Name: "PrivatePIDs", Buses: bus("PrivatePIDs", "s"), Class: Safe,
		Summary: "a PID namespace of its own",
		parse:   enum("PrivatePIDs", "no", "yes"), tighter: ascending("no", "yes"),
	}),
	{
		Name: "CapabilityBoundingSet", Buses: bus("CapabilityBoundingSet", "t"), Class: Identity,
		Summary: "capabilities that any of its processes can ever have; ~ takes from all",
		parse:   capabilitySet("CapabilityBoundingSet", 1<<64-1), tighter: subset(allCapabilities),
	},
	{
		Name: "AmbientCapabilities", Buses: bus("AmbientCapabilities", "t"), Class: Identity,
		Summary: "capabilities that its processes have from the start",
		parse:   ambient, tighter: subset(0),
	},
	{
		Name: "RestrictNamespaces", Buses: bus("RestrictNamespaces", "t"), Class: Safe,
		Summary: "namespaces that can be made: yes for none, no for all, or a list",
		parse:   restrictNamespaces, tighter: subset(1<<64 - 1),
	},
	{
		Name: "RestrictAddressFamilies", Buses: bus("RestrictAddressFamilies", "(bas)"), Class: Safe,
		Summary: "families of sockets that can be made; ~ for those that cannot, none",
		parse:   restrictAddressFamilies, tighter: tightFamilies,
	},
	{
		Name: "RestrictFileSystems", Buses: bus("RestrictFileSystems", "(bas)"), Class: Safe,
		Summary: "file systems that can be reached; ~ for those that cannot; needs the kernel's BPF LSM",
		parse:   filterList("RestrictFileSystems", filesystem), tighter: denies,
	},
	{
		Name: "RestrictNetworkInterfaces", Buses: bus("RestrictNetworkInterfaces", "(bas)"), Class: Safe,
		Summary: "network interfaces that can be used; ~ for those that cannot",
		parse:   filterList("RestrictNetworkInterfaces", networkInterface), tighter: denies,
	},
	{
		Name: "SystemCallFilter", Buses: bus("SystemCallFilter", "(bas)"), Class: Safe,
		Summary: "system calls and @groups that can be made; ~ for those that cannot, with name:errno",
		parse:   filterList("SystemCallFilter", syscall), tighter: denies,
	},
	{
		Name: "SystemCallLog", Buses: bus("SystemCallLog", "(bas)"), Class: Safe,
		Summary: "system calls to log; ~ for all others",
		parse:   filterList("SystemCallLog", syscall), tighter: denies,
	},
	{
		Name: "SystemCallArchitectures", Buses: bus("SystemCallArchitectures", "as"), Class: Safe,
		Summary: "architectures whose system calls can be made, such as native",
		parse: list("SystemCallArchitectures", oneOf("native", "x86", "x86-64", "x32", "arm", "arm64", "mips", "mips-le",
			"mips64", "mips64-le", "mips64-n32", "mips64-le-n32", "parisc", "parisc64", "ppc", "ppc64", "ppc64-le", "riscv64", "s390", "s390x")),
		tighter: func(_ *Directive, base, next []string) bool { return len(base) == 0 && len(words(next)) > 0 },
	},
	{
		Name: "SystemCallErrorNumber", Buses: bus("SystemCallErrorNumber", "i"), Class: Safe,
		Summary: "what a system call that is denied returns, such as EPERM, or kill",
		parse:   scalar("SystemCallErrorNumber", errorNumber),
		tighter: func(*Directive, []string, []string) bool { return true },
	},
	{
		Name: "InaccessiblePaths", Buses: bus("InaccessiblePaths", "as"), Class: Safe,
		Summary: "files and directories that cannot be reached",
		parse:   list("InaccessiblePaths", inView), tighter: longer,
	},
	{
		Name: "ReadOnlyPaths", Buses: bus("ReadOnlyPaths", "as"), Class: Safe,
		Summary: "files and directories that cannot be written",
		parse:   list("ReadOnlyPaths", inView), tighter: longer,
	},
	{
		Name: "NoExecPaths", Buses: bus("NoExecPaths", "as"), Class: Safe,
		Summary: "files and directories in which nothing can be executed",
		parse:   list("NoExecPaths", inView), tighter: longer,
	},
	{
		Name: "ExecPaths", Buses: bus("ExecPaths", "as"), Class: Safe,
		Summary: "exceptions of NoExecPaths=",
		parse:   list("ExecPaths", inView), exceptionOf: "NoExecPaths",
	},
	{
		Name: "TemporaryFileSystem", Buses: bus("TemporaryFileSystem", "a(ss)"), Class: Resource,
		Summary: "empty file systems in memory, as path:size=…,ro,…",
		parse:   temporaryFileSystem,
	},
	{
		Name: "SecureBits", Buses: bus("SecureBits", "i"), Class: Identity,
		Summary: "how user ids and capabilities go together, capabilities(7)",
		parse: bits("SecureBits", map[string]int32{
			"noroot": 1, "noroot-locked": 2, "no-setuid-fixup": 4, "no-setuid-fixup-locked": 8, "keep-caps": 16, "keep-caps-locked": 32,
		}),
	},
	forced(word("KeyringMode", Identity, "the kernel keyring", "inherit", "shared", "private"), "private"),
	{
		Name: "Personality", Buses: bus("Personality", "s"), Class: Safe,
		Summary: "the architecture that uname(2) tells",
		parse:   enum("Personality", "x86", "x86-64", "arm", "arm64", "ppc", "ppc-le", "ppc64", "ppc64-le", "s390", "s390x"),
	},
	{
		Name: "UMask", Buses: bus("UMask", "u"), Class: Safe,
		Summary: "bits of the mode that new files do not get",
		parse:   scalar("UMask", parseOctal(0o777)), tighter: more,
	},
}

// tightFamilies: "none" leaves nothing.
func tightFamilies(d *Directive, base, next []string) bool {
	if next[len(next)-1] == "none" {
		return true
	}
	if len(base) > 0 && base[len(base)-1] == "none" {
		return false
	}
	return denies(d, base, next)
}
