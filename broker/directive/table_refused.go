// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"strconv"
	"strings"
)

// Why directives are refused, whatever an operator writes.
const (
	request = "the request has a field of its own for it, which policy decides on"
	own     = "systemd-brokerd sets it itself for every unit"
	nomad   = "systemd only starts and stops units; Nomad decides when, and what an exit status means"
	code    = "it makes PID 1 run programs or take files that policy has not decided on"
	host    = "it makes PID 1 open paths or namespaces of the host as root, or create and change directories there"
	public  = "every user of the host could read it"
	manager = "it reaches other units, the host, or PID 1 itself"
	newer   = "it is newer than what systemd-brokerd was written for"
	v1      = "it is for control groups version 1 and has no effect"
)

// refusedTable are the directives that no policy can allow: name, class, first
// systemd, properties with their signatures, and meaning.
func refusedTable() []*Directive {
	var all []*Directive
	for _, group := range refused {
		for line := range strings.Lines(group.directives) {
			head, summary, _ := strings.Cut(strings.TrimSpace(line), " | ")
			fields := strings.Fields(head)
			d := &Directive{Name: fields[0], Class: Class(fields[1]), Summary: summary, Refused: group.reason}
			d.Since, _ = strconv.Atoi(fields[2])
			for _, field := range fields[3:] {
				name, signature, _ := strings.Cut(field, ":")
				d.Buses = append(d.Buses, Bus{name, signature})
			}
			all = append(all, d)
		}
	}
	return all
}

var refused = []struct{ reason, directives string }{
	{request, `AllowedCPUs resource 0 AllowedCPUs:ay | CPUs that the unit is confined to; use cores in the job's resources
CPUWeight resource 0 CPUWeight:t | share of CPU time among units, 1 to 10000; use cpu in the job's resources, or cpu_weight
Environment safe 0 Environment:as | variables of the environment; use env in the job
LogRateLimitBurst resource 0 LogRateLimitBurst:u | lines to the journal in each interval; use logging
LogRateLimitIntervalSec resource 0 LogRateLimitIntervalUSec:t | the interval of LogRateLimitBurst=; use logging
MemoryLow resource 0 MemoryLow:t MemoryLowScale:u | memory that is protected as far as possible; use memory and memory_max in the job's resources
MemoryMax resource 0 MemoryMax:t MemoryMaxScale:u | the most memory; use memory and memory_max in the job's resources
StandardError hostpath 0 StandardError:s StandardErrorFile:s StandardErrorFileDescriptorName:s StandardErrorFileToAppend:s StandardErrorFileToTruncate:s | where standard error goes; use logging
StandardInput hostpath 0 StandardInput:s StandardInputFile:s StandardInputFileDescriptorName:s | where standard input comes from
StandardOutput hostpath 0 StandardOutput:s StandardOutputFile:s StandardOutputFileDescriptorName:s StandardOutputFileToAppend:s StandardOutputFileToTruncate:s | where standard output goes; use logging
TasksMax resource 0 TasksMax:t TasksMaxScale:u | the most processes and threads; use tasks_max
User identity 0 User:s | who runs it; use user in the job
WorkingDirectory safe 0 WorkingDirectory:s | where the program starts; use workdir`},
	{own, `BindPaths hostpath 0 BindPaths:a(ssbt) | host paths to show in the unit
BindReadOnlyPaths hostpath 0 BindReadOnlyPaths:a(ssbt) | host paths to show read-only in the unit
CollectMode lifecycle 0 CollectMode:s | when the unit is forgotten
Description safe 0 Description:s | the unit in words
DynamicUser identity 0 DynamicUser:b | an ephemeral uid
ExitType lifecycle 0 ExitType:s | what counts as ended
FinalKillSignal safe 0 FinalKillSignal:i | the signal that ends what the stop signal did not
Group identity 0 Group:s | the primary group
GuessMainPID lifecycle 0 GuessMainPID:b | whether the main process is guessed
JoinsNamespaceOf manager 0 JoinsNamespaceOf:as | a unit whose /tmp, IPC and network to share
KillMode lifecycle 0 KillMode:s | which processes a stop ends
LogExtraFields safe 0 LogExtraFields:aay | fields of each journal entry
NotifyAccess lifecycle 0 NotifyAccess:s | who may notify the service manager
RemainAfterExit lifecycle 0 RemainAfterExit:b | whether the unit outlives its program
RemoveIPC manager 0 RemoveIPC:b | whether IPC objects of the user are removed at the end
Restart lifecycle 0 Restart:s | when the program is started again; Nomad decides that
RootDirectory code 0 RootDirectory:s | the root directory of the unit
SendSIGKILL lifecycle 0 SendSIGKILL:b | whether what does not stop is killed
Slice manager 0 Slice:s | the slice of the unit
SourcePath hostpath 0 SourcePath:s | the file a unit was made from
StartLimitBurst lifecycle 0 StartLimitBurst:u | how many starts there may be
StartLimitIntervalSec lifecycle 0 StartLimitIntervalUSec:t | the interval of StartLimitBurst=
StartupMemoryMax resource 254 StartupMemoryMax:t | MemoryMax= while the host starts or stops
SupplementaryGroups identity 0 SupplementaryGroups:as | further groups
SyslogIdentifier safe 0 SyslogIdentifier:s | the name in log lines
TimeoutAbortSec lifecycle 0 TimeoutAbortUSec:t | how long an abort may take
TimeoutStartFailureMode lifecycle 0 TimeoutStartFailureMode:s | what ends a start that takes too long
TimeoutStartSec lifecycle 0 TimeoutStartUSec:t | how long a start may take
TimeoutStopFailureMode lifecycle 0 TimeoutStopFailureMode:s | what ends a stop that takes too long
TimeoutStopSec lifecycle 0 TimeoutStopUSec:t | how long a stop may take; Nomad has kill_timeout
Type lifecycle 0 Type:s | what counts as started
UnsetEnvironment safe 0 UnsetEnvironment:as | variables to remove; leave them out of env`},
	{nomad, `RestartForceExitStatus lifecycle 0 RestartForceExitStatus:(aiai) | exit statuses after which it is started again
RestartMaxDelaySec lifecycle 254 RestartMaxDelayUSec:t | the longest delay of a restart
RestartMode lifecycle 254 RestartMode:s | how it is started again
RestartPreventExitStatus lifecycle 0 RestartPreventExitStatus:(aiai) | exit statuses after which it is not started again
RestartSec lifecycle 0 RestartUSec:t | the delay of a restart
RestartSteps lifecycle 254 RestartSteps:u | how the delay of restarts grows
RuntimeMaxSec lifecycle 0 RuntimeMaxUSec:t | after what time it is stopped
RuntimeRandomizedExtraSec lifecycle 0 RuntimeRandomizedExtraUSec:t | random time to add to RuntimeMaxSec=
SuccessExitStatus lifecycle 0 SuccessExitStatus:(aiai) | exit statuses that count as success
WatchdogSec lifecycle 0 WatchdogUSec:t | how often it must notify the service manager`},
	{code, `BPFProgram code 0 BPFProgram:a(ss) | BPF programs to attach
ExecCondition code 0 ExecCondition:a(sasb) ExecConditionEx:a(sasas) | a program that decides on the start
ExecReload code 0 ExecReload:a(sasb) ExecReloadEx:a(sasas) | what reloads the program
ExecStart code 0 ExecStart:a(sasb) ExecStartEx:a(sasas) | the program
ExecStartPost code 0 ExecStartPost:a(sasb) ExecStartPostEx:a(sasas) | what to run after the start
ExecStartPre code 0 ExecStartPre:a(sasb) ExecStartPreEx:a(sasas) | what to run before the start
ExecStop code 0 ExecStop:a(sasb) ExecStopEx:a(sasas) | what stops the program
ExecStopPost code 0 ExecStopPost:a(sasb) ExecStopPostEx:a(sasas) | what to run after the end
ExtensionDirectories code 0 ExtensionDirectories:as | directories to lay over /usr and /opt
ExtensionImagePolicy code 254 ExtensionImagePolicy:s | what extension images must be like
ExtensionImages code 0 ExtensionImages:a(sba(ss)) | images to lay over /usr and /opt
IPEgressFilterPath code 0 IPEgressFilterPath:as | a BPF program for packets out
IPIngressFilterPath code 0 IPIngressFilterPath:as | a BPF program for packets in
MountImagePolicy code 254 MountImagePolicy:s | what mounted images must be like
MountImages code 0 MountImages:a(ssba(ss)) | images to mount
PAMName code 0 PAMName:s | the PAM service of a session
PermissionsStartOnly code 0 PermissionsStartOnly:b | whether only the program itself has the user and sandbox
RootDirectoryStartOnly code 0 RootDirectoryStartOnly:b | whether only the program itself has the root directory
RootHash code 0 RootHash:ay RootHashPath:s | the root hash of the image
RootHashSignature code 0 RootHashSignature:ay RootHashSignaturePath:s | the signature of the root hash
RootImage code 0 RootImage:s | the image with the root directory
RootImageOptions code 0 RootImageOptions:a(ss) | mount options of the image
RootImagePolicy code 254 RootImagePolicy:s | what the image must be like
RootVerity code 0 RootVerity:s | the dm-verity data of the image`},
	{host, `BindLogSockets hostpath 257 BindLogSockets:b | whether the journal's sockets are there
CacheDirectory hostpath 0 CacheDirectory:as CacheDirectorySymlink:a(sst) | a directory below /var/cache
CacheDirectoryMode hostpath 0 CacheDirectoryMode:u | its mode
ConfigurationDirectory hostpath 0 ConfigurationDirectory:as | a directory below /etc
ConfigurationDirectoryMode hostpath 0 ConfigurationDirectoryMode:u | its mode
EnvironmentFile hostpath 0 EnvironmentFiles:a(sb) | files with variables
IPCNamespacePath hostpath 0 IPCNamespacePath:s | an IPC namespace to enter
ImportCredential hostpath 257 ImportCredential:as ImportCredentialEx:a(ss) | credentials of the host to pass on
InaccessibleDirectories safe 0 InaccessibleDirectories:as | the old name of InaccessiblePaths=
LoadCredential hostpath 0 LoadCredential:a(ss) | a credential from a file or socket of the host
LoadCredentialEncrypted hostpath 0 LoadCredentialEncrypted:a(ss) | an encrypted credential from a file of the host
LogsDirectory hostpath 0 LogsDirectory:as LogsDirectorySymlink:a(sst) | a directory below /var/log
LogsDirectoryMode hostpath 0 LogsDirectoryMode:u | its mode
MountFlags hostpath 0 MountFlags:t | how mounts propagate
OpenFile hostpath 253 OpenFile:a(sst) | files that are opened and passed
PIDFile hostpath 0 PIDFile:s | a file with the main process
PassEnvironment hostpath 0 PassEnvironment:as | variables of the service manager to pass on
ReadOnlyDirectories safe 0 ReadOnlyDirectories:as | the old name of ReadOnlyPaths=
ReadWriteDirectories hostpath 0 ReadWriteDirectories:as | the old name of ReadWritePaths=
ReadWritePaths hostpath 0 ReadWritePaths:as | exceptions of what is read-only
RootEphemeral hostpath 254 RootEphemeral:b | whether the root directory is a copy
RuntimeDirectory hostpath 0 RuntimeDirectory:as RuntimeDirectorySymlink:a(sst) | a directory below /run
RuntimeDirectoryMode hostpath 0 RuntimeDirectoryMode:u | its mode
RuntimeDirectoryPreserve safe 0 RuntimeDirectoryPreserve:s | whether the directory below /run outlives the unit
StateDirectory hostpath 0 StateDirectory:as StateDirectorySymlink:a(sst) | a directory below /var/lib
StateDirectoryMode hostpath 0 StateDirectoryMode:u | its mode
TTYColumns safe 0 TTYColumns:u | the width of the terminal
TTYPath hostpath 0 TTYPath:s | the terminal
TTYReset hostpath 0 TTYReset:b | whether the terminal is reset
TTYRows safe 0 TTYRows:u | the height of the terminal
TTYVHangup hostpath 0 TTYVHangup:b | whether the terminal is hung up
TTYVTDisallocate hostpath 0 TTYVTDisallocate:b | whether the virtual terminal is cleared
USBFunctionDescriptors hostpath 0 USBFunctionDescriptors:s | a file of USB descriptors
USBFunctionStrings hostpath 0 USBFunctionStrings:s | a file of USB strings
UtmpIdentifier hostpath 0 UtmpIdentifier:s | an entry of the log of logins
UtmpMode hostpath 0 UtmpMode:s | the kind of this entry`},
	{public, `SetCredential safe 0 SetCredential:a(say) | a credential, in clear
SetCredentialEncrypted safe 0 SetCredentialEncrypted:a(say) | a credential, encrypted
StandardInputData safe 0 StandardInputData:ay | what standard input reads, in Base64
StandardInputText safe 0 StandardInputData:ay | what standard input reads`},
	{manager, `After manager 0 After:as | units to start before
AllowIsolate manager 0 AllowIsolate:b | whether the unit can be isolated
Before manager 0 Before:as | units to start after
BindsTo manager 0 BindsTo:as | units without which it cannot be
BusName manager 0 BusName:s | a name on the system bus
Conflicts manager 0 Conflicts:as | units that it ends
CoredumpReceive manager 255 CoredumpReceive:b | whether core dumps are passed to it
DefaultDependencies manager 0 DefaultDependencies:b | whether the usual dependencies are added
Delegate manager 0 Delegate:b DelegateControllers:as | whether it manages its control groups itself
DelegateSubgroup manager 254 DelegateSubgroup:s | the control group below its own for its processes
DisableControllers manager 0 DisableControllers:as | controllers that its control groups do not have
Documentation safe 0 Documentation:as | where to read on
FailureAction manager 0 FailureAction:s | what happens to the host when it fails
FailureActionExitStatus manager 0 FailureActionExitStatus:i | the exit status of FailureAction=
FileDescriptorStoreMax manager 0 FileDescriptorStoreMax:u | descriptors that the service manager keeps for it
FileDescriptorStorePreserve manager 254 FileDescriptorStorePreserve:s | for how long it keeps them
IgnoreOnIsolate manager 0 IgnoreOnIsolate:b | whether it outlives the isolation of another unit
JobRunningTimeoutSec manager 0 JobRunningTimeoutUSec:t | how long a job may run
JobTimeoutAction manager 0 JobTimeoutAction:s | what happens to the host when a job takes too long
JobTimeoutRebootArgument manager 0 JobTimeoutRebootArgument:s | the argument of a reboot for that
JobTimeoutSec manager 0 JobTimeoutUSec:t | how long a job may wait and run
LogFilterPatterns safe 253 LogFilterPatterns:a(bs) | regular expressions of log lines to keep
LogNamespace manager 0 LogNamespace:s | a journal of its own
NFTSet network 255 NFTSet:a(iiss) | sets of the firewall to enter its ids into
NetworkNamespacePath network 0 NetworkNamespacePath:s | a network namespace to enter
OnFailure manager 0 OnFailure:as | units to start when it fails
OnFailureJobMode manager 0 OnFailureJobMode:s | how they are started
OnSuccess manager 0 OnSuccess:as | units to start when it succeeds
OnSuccessJobMode manager 0 OnSuccessJobMode:s | how they are started
PartOf manager 0 PartOf:as | units with which it is stopped
PropagatesReloadTo manager 0 PropagatesReloadTo:as | units to reload with it
PropagatesStopTo manager 0 PropagatesStopTo:as | units to stop with it
RebootArgument manager 0 RebootArgument:s | the argument of a reboot
RefuseManualStart manager 0 RefuseManualStart:b | whether it can be started by hand
RefuseManualStop manager 0 RefuseManualStop:b | whether it can be stopped by hand
ReloadPropagatedFrom manager 0 ReloadPropagatedFrom:as | units with which it is reloaded
Requires manager 0 Requires:as | units that it starts and needs
RequiresMountsFor manager 0 RequiresMountsFor:as | paths that must be mounted
RequiresOverridable manager 0 RequiresOverridable:as | the old name of Requires=
Requisite manager 0 Requisite:as | units that must run
RequisiteOverridable manager 0 RequisiteOverridable:as | the old name of Requisite=
SELinuxContext identity 0 SELinuxContext:s | the SELinux context
StartLimitAction manager 0 StartLimitAction:s | what happens to the host when it starts too often
StopPropagatedFrom manager 0 StopPropagatedFrom:as | units with which it is stopped
StopWhenUnneeded manager 0 StopWhenUnneeded:b | whether it is stopped when no unit needs it
SuccessAction manager 0 SuccessAction:s | what happens to the host when it succeeds
SuccessActionExitStatus manager 0 SuccessActionExitStatus:i | the exit status of SuccessAction=
SurviveFinalKillSignal manager 255 SurviveFinalKillSignal:b | whether it outlives the shutdown of the host
Upholds manager 0 Upholds:as | units that it keeps running
Wants manager 0 Wants:as | units that it starts
WantsMountsFor manager 256 WantsMountsFor:as | paths to mount`},
	{v1, `BlockIOAccounting safe 0 BlockIOAccounting:b | counting of control groups version 1
BlockIODeviceWeight resource 0 BlockIODeviceWeight:a(st) | the version 1 of IODeviceWeight=
BlockIOReadBandwidth resource 0 BlockIOReadBandwidth:a(st) | the version 1 of IOReadBandwidthMax=
BlockIOWeight resource 0 BlockIOWeight:t | the version 1 of IOWeight=
BlockIOWriteBandwidth resource 0 BlockIOWriteBandwidth:a(st) | the version 1 of IOWriteBandwidthMax=
CPUShares resource 0 CPUShares:t | the version 1 of CPUWeight=
MemoryLimit resource 0 MemoryLimit:t MemoryLimitScale:u | the version 1 of MemoryMax=
StartupBlockIOWeight resource 0 StartupBlockIOWeight:t | the version 1 of StartupIOWeight=
StartupCPUShares resource 0 StartupCPUShares:t | the version 1 of StartupCPUWeight=`},
	{newer, `BindNetworkInterface network 260 BindNetworkInterface:s | the network interface that sockets are bound to
BPFDelegateAttachments code 258 BPFDelegateAttachments:s | kinds of attachments of BPF programs that it may make
BPFDelegateCommands code 258 BPFDelegateCommands:s | commands of bpf(2) that it may use
BPFDelegateMaps code 258 BPFDelegateMaps:s | kinds of BPF maps that it may make
BPFDelegatePrograms code 258 BPFDelegatePrograms:s | kinds of BPF programs that it may load
CacheDirectoryAccounting resource 258 CacheDirectoryAccounting:b | whether CacheDirectory= is counted
CacheDirectoryQuota resource 258 CacheDirectoryQuota:s | the most that CacheDirectory= may hold
DelegateNamespaces identity 258 DelegateNamespaces:t | namespaces that belong to its user namespace
ExecReloadPost code 259 ExecReloadPostEx:a(sasas) | what to run after a reload
LogsDirectoryAccounting resource 258 LogsDirectoryAccounting:b | whether LogsDirectory= is counted
LogsDirectoryQuota resource 258 LogsDirectoryQuota:s | the most that LogsDirectory= may hold
MemoryTHP resource 260 MemoryTHP:s | whether huge pages are used
PrivateBPF code 258 PrivateBPF:s | a BPF file system of its own
StateDirectoryAccounting resource 258 StateDirectoryAccounting:b | whether StateDirectory= is counted
StateDirectoryQuota resource 258 StateDirectoryQuota:s | the most that StateDirectory= may hold
UserNamespacePath identity 259 UserNamespacePath:s | a user namespace to enter`},
}
