// SPDX-License-Identifier: MPL-2.0

package directive

import "strings"

// killRows are the directives of systemd.kill(5).
var killRows = [][]*Directive{
	offered(Safe,
		offer("KillSignal", "signal that PID 1 ends the unit with", signal),
		offer("RestartKillSignal", "signal that PID 1 restarts the unit with", signal),
		offer("SendSIGHUP", "SIGHUP follows KillSignal=", boolean),
		offer("WatchdogSignal", "signal after a watchdog timeout", signal),
	),
	refused(Lifecycle, unstoppable,
		row("FinalKillSignal", "i", "signal that ends what KillSignal= did not"),
		row("KillMode", "s", "which processes are ended with the unit"),
		row("SendSIGKILL", "b", "what does not end is killed"),
	),
}

const (
	unstoppable = "what is left of a task could not be stopped"
	byLifecycle = "the broker decides how a unit starts, ends and is restarted"
	asRoot      = "PID 1 would run it again after a reload, with a + in front as root"
)

// serviceRows are the directives of systemd.service(5).
var serviceRows = [][]*Directive{
	offered(Resource,
		offer("OOMPolicy", "what happens after the kernel killed a process for memory", enum(
			option{name: "stop"}, option{name: "continue"}, option{name: "kill"},
		)),
		offer("RuntimeMaxSec", "the unit is stopped after that time", timespan.with(falling(parseMillis, infinity))).
			sets(Bus{"RuntimeMaxUSec", "t"}),
		offer("RuntimeRandomizedExtraSec", "a random time up to this is added to RuntimeMaxSec=", timespan).
			sets(Bus{"RuntimeRandomizedExtraUSec", "t"}),
	),
	offered(Safe,
		offer("ReloadSignal", "signal that asks the program to reload", signal).since(253),
		offer("SuccessExitStatus", "exit statuses and signals that count as success", exitStatusSet),
	),
	refused(Code, byBroker,
		command("ExecStart", "program to run"),
	),
	refused(Code, asRoot,
		command("ExecCondition", "program that decides whether the unit starts"),
		command("ExecReload", "program that asks for a reload"),
		command("ExecReloadPost", "program after a reload").since(259),
		command("ExecStartPost", "program after the start"),
		command("ExecStartPre", "program before the start"),
		command("ExecStop", "program that ends the unit"),
		command("ExecStopPost", "program after the end"),
		row("PermissionsStartOnly", "b", "other programs than ExecStart= run as root"),
		row("RootDirectoryStartOnly", "b", "other programs than ExecStart= run on the host"),
	),
	refused(Lifecycle, byLifecycle,
		row("ExitType", "s", "when the unit has ended"),
		row("GuessMainPID", "b", "guesses the main process"),
		row("NotifyAccess", "s", "who may tell PID 1 of the unit's state"),
		row("RemainAfterExit", "b", "the unit stays after its program ended"),
		row("Restart", "s", "when the unit is restarted"),
		row("RestartForceExitStatus", "(aiai)", "exit statuses that restart the unit"),
		row("RestartMaxDelaySec", "t", "longest delay of a restart").since(254).sets(Bus{"RestartMaxDelayUSec", "t"}),
		row("RestartMode", "s", "whether others see a restart").since(254),
		row("RestartPreventExitStatus", "(aiai)", "exit statuses that do not restart the unit"),
		row("RestartSec", "t", "delay of a restart").sets(Bus{"RestartUSec", "t"}),
		row("RestartSteps", "u", "steps from RestartSec= to RestartMaxDelaySec=").since(254),
		row("TimeoutAbortSec", "t", "how long an abort may take").sets(Bus{"TimeoutAbortUSec", "t"}),
		row("TimeoutStartFailureMode", "s", "what ends a start that takes too long"),
		row("TimeoutStartSec", "t", "how long a start may take").sets(Bus{"TimeoutStartUSec", "t"}),
		row("TimeoutStopFailureMode", "s", "what ends a stop that takes too long"),
		row("TimeoutStopSec", "t", "how long a stop may take").sets(Bus{"TimeoutStopUSec", "t"}),
		row("Type", "s", "when the unit has started"),
		row("WatchdogSec", "t", "how often the program must report").sets(Bus{"WatchdogUSec", "t"}),
	),
	refused(Manager, "PID 1 would hold descriptors and memory for the program",
		row("FileDescriptorStoreMax", "u", "descriptors that PID 1 keeps"),
		row("FileDescriptorStorePreserve", "s", "how long PID 1 keeps descriptors").since(254),
	),
	refused(Manager, "the unit would own a name on the system bus",
		row("BusName", "s", "name on the bus"),
	),
	refused(HostPath, rootFiles,
		row("OpenFile", "a(sst)", "files that are passed as descriptors").since(253),
		row("PIDFile", "s", "file with the id of the main process"),
		row("USBFunctionDescriptors", "s", "descriptors of a USB gadget"),
		row("USBFunctionStrings", "s", "strings of a USB gadget"),
	),
	refused(HostPath, descriptors,
		row("ExtraFileDescriptors", "a(hs)", "further descriptors").since(257),
		row("StandardErrorFileDescriptor", "h", "standard error"),
		row("StandardInputFileDescriptor", "h", "standard input"),
		row("StandardOutputFileDescriptor", "h", "standard output"),
	),
}

func command(name, summary string) *Directive {
	return row(name, "a(sasb)", summary).sets(Bus{name, "a(sasb)"}, Bus{name + "Ex", "a(sasas)"})
}

const (
	otherUnits = "it would start, stop or wait for other units"
	hostActs   = "it could stop or restart the host"
	unitState  = "the broker decides how PID 1 keeps the unit"
)

// unitRows are the directives of systemd.unit(5).
var unitRows = append([][]*Directive{
	refused(Safe, "the broker describes its units",
		row("Description", "s", "what the unit is").live(),
		row("Documentation", "as", "where to read about it"),
	),
	refused(Manager, otherUnits,
		row("After", "as", "units that start before"),
		row("Before", "as", "units that start after"),
		row("BindsTo", "as", "units without which this one stops"),
		row("Conflicts", "as", "units that stop for this one"),
		row("DefaultDependencies", "b", "dependencies that most units have"),
		row("JoinsNamespaceOf", "as", "units whose namespaces are shared"),
		row("OnFailure", "as", "units to start after a failure"),
		row("OnFailureJobMode", "s", "how OnFailure= starts them"),
		row("OnSuccess", "as", "units to start after a success"),
		row("OnSuccessJobMode", "s", "how OnSuccess= starts them"),
		row("PartOf", "as", "units with which this one stops"),
		row("PropagatesReloadTo", "as", "units that reload with this one"),
		row("PropagatesStopTo", "as", "units that stop with this one"),
		row("ReloadPropagatedFrom", "as", "units with which this one reloads"),
		row("Requires", "as", "units that must start"),
		row("RequiresMountsFor", "as", "paths that must be mounted"),
		row("RequiresOverridable", "as", "obsolete"),
		row("Requisite", "as", "units that must run"),
		row("RequisiteOverridable", "as", "obsolete"),
		row("StopPropagatedFrom", "as", "units with which this one stops"),
		row("Upholds", "as", "units that are kept running"),
		row("Wants", "as", "units to start"),
		row("WantsMountsFor", "as", "paths to mount").since(256),
	),
	refused(Manager, hostActs,
		row("FailureAction", "s", "what a failure does to the host"),
		row("FailureActionExitStatus", "i", "exit status of FailureAction="),
		row("JobTimeoutAction", "s", "what a job that takes too long does to the host"),
		row("JobTimeoutRebootArgument", "s", "argument of JobTimeoutAction="),
		row("RebootArgument", "s", "argument of a reboot"),
		row("StartLimitAction", "s", "what too many starts do to the host"),
		row("SuccessAction", "s", "what a success does to the host"),
		row("SuccessActionExitStatus", "i", "exit status of SuccessAction="),
	),
	refused(Manager, "the broker's slices are the operator's",
		row("Slice", "s", "where in the tree of control groups the unit is"),
	),
	refused(Manager, unitState,
		row("AllowIsolate", "b", "whether others may be stopped for it"),
		row("IgnoreOnIsolate", "b", "stays when others are stopped"),
		row("JobRunningTimeoutSec", "t", "how long a job may run").sets(Bus{"JobRunningTimeoutUSec", "t"}),
		row("JobTimeoutSec", "t", "how long a job may wait and run").sets(Bus{"JobTimeoutUSec", "t"}),
		row("Markers", "as", "what is to be done with the unit").live(),
		row("RefuseManualStart", "b", "cannot be started by hand"),
		row("RefuseManualStop", "b", "cannot be stopped by hand"),
		row("StopWhenUnneeded", "b", "stops when no other unit needs it"),
		row("SurviveFinalKillSignal", "b", "survives the end of the host").since(255),
	),
	refused(Lifecycle, unitState,
		row("AddRef", "b", "PID 1 keeps the unit for the client"),
		row("CollectMode", "s", "when PID 1 forgets the unit"),
		row("StartLimitBurst", "u", "how many starts are too many"),
		row("StartLimitIntervalSec", "t", "interval of StartLimitBurst=").sets(Bus{"StartLimitIntervalUSec", "t"}),
	),
	refused(HostPath, ownsHostPaths,
		row("SourcePath", "s", "file the unit was made from"),
	),
}, conditions()...)

// conditionKinds are what Condition… and Assert… can ask.
const conditionKinds = `ACPower Architecture CPUFeature CPUs Capability ControlGroupController Credential
DirectoryNotEmpty Environment FileIsExecutable FileNotEmpty Firmware FirstBoot Group Host KernelCommandLine
KernelModuleLoaded KernelVersion Memory NeedsUpdate OSRelease PathExists PathExistsGlob PathIsDirectory
PathIsEncrypted PathIsMountPoint PathIsReadWrite PathIsSocket PathIsSymbolicLink Security User Version
Virtualization`

func conditions() [][]*Directive {
	var rows []*Directive
	for kind := range strings.FieldsSeq(conditionKinds) {
		rows = append(rows,
			row("Condition"+kind, "a(sbbs)", "starts only under a condition").sets(Bus{"Conditions", "a(sbbs)"}),
			row("Assert"+kind, "a(sbbs)", "fails without a condition").sets(Bus{"Asserts", "a(sbbs)"}),
		)
	}
	return [][]*Directive{refused(HostPath, "PID 1 would look with the rights of root and tell what it found", rows...)}
}
