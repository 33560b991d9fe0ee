// SPDX-License-Identifier: MPL-2.0

package directive

// Reasons for which a directive of a unit file is nothing for a client.
const (
	byBroker      = "the broker sets it from the request"
	byStdio       = "the broker connects standard input, output and error"
	byUser        = "the policy decides on users and groups: run_as, and the user and groups of the request"
	ownsHostPaths = "host paths are opened by the broker only"
	ownsRoot      = "the broker makes the program's root directory"
	rootCode      = "the kernel or PID 1 would read what it names as root"
	rootFiles     = "PID 1 would make, open or remove the file as root, and follow symbolic links"
	directories   = "PID 1 would make the directory, and give existing ones to the unit's user with all they hold"
	readAsRoot    = "PID 1 would read it with the rights of root; secrets come in files of the task, and as credentials of the request"
	descriptors   = "descriptors are passed by the broker only"
	terminals     = "PID 1 would open the terminal as root; a session has one of its own"
)

var execRefused = [][]*Directive{
	refused(Identity, byUser,
		row("DynamicUser", "b", "a user for this unit alone"),
		row("Group", "s", "group of the program"),
		row("SupplementaryGroups", "as", "further groups of the program"),
		row("User", "s", "user of the program"),
	),
	refused(Safe, byBroker,
		row("Environment", "as", "environment variables"),
		row("LogExtraFields", "aay", "fields of all log messages"),
		row("MountAPIVFS", "b", "/proc, /sys and /dev"),
		row("WorkingDirectory", "s", "where the program starts"),
	),
	refused(HostPath, ownsHostPaths,
		row("BindLogSockets", "b", "the journal's sockets").since(257),
		row("BindPaths", "a(ssbt)", "host paths in the program's view"),
		row("BindReadOnlyPaths", "a(ssbt)", "host paths in the program's view, read-only"),
		row("IPCNamespacePath", "s", "joins an IPC namespace"),
		row("ReadWriteDirectories", "as", "old name of ReadWritePaths="),
		row("ReadWritePaths", "as", "paths where ProtectSystem= does not apply"),
		row("RootEphemeral", "b", "a copy of the root directory").since(254),
	),
	refused(HostPath, "a shared mount would appear on the host",
		row("MountFlags", "t", "whether mounts spread"),
	),
	refused(Code, ownsRoot,
		row("RootDirectory", "s", "root directory"),
		row("RootDirectoryFileDescriptor", "h", "root directory, as a descriptor").since(259),
	),
	refused(Code, rootCode,
		row("BPFDelegateAttachments", "s", "what BPF programs may attach to").since(258),
		row("BPFDelegateCommands", "s", "BPF commands without privileges").since(258),
		row("BPFDelegateMaps", "s", "kinds of BPF maps without privileges").since(258),
		row("BPFDelegatePrograms", "s", "kinds of BPF programs without privileges").since(258),
		row("ExtensionDirectories", "as", "overlays of the root directory"),
		row("ExtensionImagePolicy", "s", "what ExtensionImages= may hold").since(254),
		row("ExtensionImages", "a(sba(ss))", "overlays from disk images"),
		row("MountImagePolicy", "s", "what MountImages= may hold").since(254),
		row("MountImages", "a(ssba(ss))", "mounted disk images"),
		row("PAMName", "s", "a PAM session"),
		row("PrivateBPF", "s", "own BPF file system").since(258),
		row("RootHash", "ay", "hash of the root image").sets(Bus{"RootHash", "ay"}, Bus{"RootHashPath", "s"}),
		row("RootHashSignature", "ay", "signature of the root image").
			sets(Bus{"RootHashSignature", "ay"}, Bus{"RootHashSignaturePath", "s"}),
		row("RootImage", "s", "root directory from a disk image"),
		row("RootImageOptions", "a(ss)", "mount options of RootImage="),
		row("RootImagePolicy", "s", "what RootImage= may hold").since(254),
		row("RootVerity", "s", "verity data of the root image"),
	),
	refused(HostPath, directories,
		directory("CacheDirectory", "directories in /var/cache"),
		row("CacheDirectoryMode", "u", "permissions of CacheDirectory="),
		row("ConfigurationDirectory", "as", "directories in /etc"),
		row("ConfigurationDirectoryMode", "u", "permissions of ConfigurationDirectory="),
		directory("LogsDirectory", "directories in /var/log"),
		row("LogsDirectoryMode", "u", "permissions of LogsDirectory="),
		directory("RuntimeDirectory", "directories in /run, removed at the end"),
		row("RuntimeDirectoryMode", "u", "permissions of RuntimeDirectory="),
		row("RuntimeDirectoryPreserve", "s", "whether RuntimeDirectory= stays"),
		directory("StateDirectory", "directories in /var/lib"),
		row("StateDirectoryMode", "u", "permissions of StateDirectory="),
		row("CacheDirectoryAccounting", "b", "counts what is in CacheDirectory=").since(258),
		row("CacheDirectoryQuota", "t", "limits what is in CacheDirectory=").since(258),
		row("LogsDirectoryAccounting", "b", "counts what is in LogsDirectory=").since(258),
		row("LogsDirectoryQuota", "t", "limits what is in LogsDirectory=").since(258),
		row("StateDirectoryAccounting", "b", "counts what is in StateDirectory=").since(258),
		row("StateDirectoryQuota", "t", "limits what is in StateDirectory=").since(258),
	),
	refused(HostPath, readAsRoot,
		row("EnvironmentFile", "a(sb)", "a file with environment variables").sets(Bus{"EnvironmentFiles", "a(sb)"}),
		row("ImportCredential", "as", "credentials of the system by pattern").since(254).
			sets(Bus{"ImportCredential", "as"}, Bus{"ImportCredentialEx", "a(ss)"}),
		row("LoadCredential", "a(ss)", "a credential from a file or socket"),
		row("LoadCredentialEncrypted", "a(ss)", "an encrypted credential from a file"),
		row("PassEnvironment", "as", "variables from PID 1's environment"),
	),
	refused(Safe, "every user of the host could read it over D-Bus; write it to a file of the task, or make it a credential of the request",
		row("SetCredential", "a(say)", "a credential"),
		row("SetCredentialEncrypted", "a(say)", "an encrypted credential"),
		row("StandardInputData", "ay", "what standard input holds, in base64"),
		row("StandardInputText", "ay", "what standard input holds").sets(Bus{"StandardInputData", "ay"}),
	),
	refused(HostPath, byStdio,
		row("StandardError", "s", "where standard error goes").sets(stdio("StandardError", "ToAppend", "ToTruncate")...),
		row("StandardInput", "s", "where standard input comes from").sets(stdio("StandardInput")...),
		row("StandardOutput", "s", "where standard output goes").sets(stdio("StandardOutput", "ToAppend", "ToTruncate")...),
	),
	refused(HostPath, terminals,
		row("TTYColumns", "u", "width of the terminal"),
		row("TTYPath", "s", "terminal"),
		row("TTYReset", "b", "resets the terminal"),
		row("TTYRows", "u", "height of the terminal"),
		row("TTYVHangup", "b", "disconnects others from the terminal"),
		row("TTYVTDisallocate", "b", "clears the terminal"),
	),
	refused(HostPath, "it would write the host's login records",
		row("UtmpIdentifier", "s", "id of a login record"),
		row("UtmpMode", "s", "kind of a login record"),
	),
	refused(Manager, "it would start a journal of its own",
		row("LogNamespace", "s", "journal of the unit"),
	),
	refused(Manager, "it removes all IPC objects of the user, those of other programs too",
		row("RemoveIPC", "b", "removes IPC objects at the end"),
	),
	refused(Network, "requests have a field of their own for it, which policy decides on: use network in a job",
		row("NetworkNamespacePath", "s", "joins a network namespace"),
	),
	refused(Identity, notReviewed,
		row("DelegateNamespaces", "t", "namespaces that belong to the unit's user namespace").since(258),
		row("UserNamespacePath", "s", "joins a user namespace").since(259),
	),
	refused(Resource, notReviewed,
		row("MemoryTHP", "s", "huge pages").since(260),
	),
}

const notReviewed = "it is newer than what this version of the broker was reviewed for"

func directory(name, summary string) *Directive {
	return row(name, "as", summary).sets(Bus{name, "as"}, Bus{name + "Symlink", "a(sst)"})
}

func stdio(name string, files ...string) []Bus {
	buses := []Bus{{name, "s"}, {name + "File", "s"}, {name + "FileDescriptorName", "s"}}
	for _, file := range files {
		buses = append(buses, Bus{name + "File" + file, "s"})
	}
	return buses
}
