// SPDX-License-Identifier: MPL-2.0

package directive

// cgroupRows are the directives of systemd.resource-control(5).
var cgroupRows = append([][]*Directive{cgroupOffered, cgroupMemory}, cgroupRefused...)

func init() {
	// All that is offered of this group can be changed while the unit runs.
	for _, rows := range [][]*Directive{cgroupOffered, cgroupMemory} {
		for _, d := range rows {
			d.Live = d.Name != "MemoryPressureWatch"
		}
	}
}

var cgroupOffered = concat(
	offered(Safe,
		offer("DevicePolicy", "which devices DeviceAllow= adds to", enum(
			option{name: "auto"}, option{name: "closed", rank: 1}, option{name: "strict", rank: 2},
		)),
		offer("IPAccounting", "counts network traffic", boolean),
		offer("IPAddressDeny", "addresses that cannot be reached", denyPrefixes),
		offer("MemoryPressureWatch", "the program is told when memory is short", enumBool(
			option{name: "auto"}, option{name: "yes"}, option{name: "no"}, option{name: "skip"},
		)).since(254),
		offer("RestrictNetworkInterfaces", "network interfaces that can be used", restrictNetworkInterfaces),
		offer("SocketBindDeny", "ports that cannot be bound", denyBind),
	),
	offered(Network,
		offer("IPAddressAllow", "addresses that can be reached although IPAddressDeny= has them", allowPrefixes),
		offer("SocketBindAllow", "ports that can be bound although SocketBindDeny= has them", allowBind),
	),
	offered(HostPath,
		offer("DeviceAllow", "devices that can be opened", deviceAllow),
	),
	offered(Resource,
		offer("AllowedCPUs", "CPUs that can be used", cpus),
		offer("AllowedMemoryNodes", "memory nodes that can be used", cpus),
		offer("CPUQuota", "limit of CPU time", cpuQuota).sets(Bus{"CPUQuotaPerSecUSec", "t"}),
		offer("CPUQuotaPeriodSec", "interval in which CPUQuota= is kept", cpuQuotaPeriod).sets(Bus{"CPUQuotaPeriodUSec", "t"}),
		offer("CPUWeight", "share of CPU time when it is short", weight(true)),
		offer("IODeviceLatencyTargetSec", "how long disk access may take before others wait", deviceLatency).
			sets(Bus{"IODeviceLatencyTargetUSec", "a(st)"}),
		offer("IODeviceWeight", "share of a device when it is busy", deviceWeight),
		offer("IOReadBandwidthMax", "limit of bytes read in a second", deviceRate),
		offer("IOReadIOPSMax", "limit of reads in a second", deviceRate),
		offer("IOWeight", "share of disks when they are busy", weight(false)),
		offer("IOWriteBandwidthMax", "limit of bytes written in a second", deviceRate),
		offer("IOWriteIOPSMax", "limit of writes in a second", deviceRate),
		offer("ManagedOOMMemoryPressure", "whether systemd-oomd kills when memory is short", oomMode),
		offer("ManagedOOMMemoryPressureDurationSec", "how long memory must be short", pressureDuration).since(257).
			sets(Bus{"ManagedOOMMemoryPressureDurationUSec", "t"}),
		offer("ManagedOOMMemoryPressureLimit", "how short memory must be", share),
		offer("ManagedOOMPreference", "whether systemd-oomd spares the unit", enum(
			option{name: "none", rank: 2}, option{name: "avoid", rank: 1}, option{name: "omit"},
		)),
		offer("ManagedOOMSwap", "whether systemd-oomd kills when swap is short", oomMode),
		offer("StartupAllowedCPUs", "AllowedCPUs= while the host starts", cpus.with(once(cpus.order))),
		offer("StartupAllowedMemoryNodes", "AllowedMemoryNodes= while the host starts", cpus.with(once(cpus.order))),
		offer("StartupCPUWeight", "CPUWeight= while the host starts", weight(true)),
		offer("StartupIOWeight", "IOWeight= while the host starts", weight(false)),
		offer("TasksMax", "limit of processes and threads", tasksMax).sets(scaledBuses("TasksMax")...),
	),
)

var cgroupMemory = offered(Resource,
	offer("DefaultMemoryLow", "MemoryLow= of control groups below", memory(0, true)).sets(scaledBuses("DefaultMemoryLow")...),
	offer("DefaultMemoryMin", "MemoryMin= of control groups below", memory(0, true)).sets(scaledBuses("DefaultMemoryMin")...),
	offer("DefaultStartupMemoryLow", "DefaultMemoryLow= while the host starts", startupLimit(nil, 0, true)).since(254).
		sets(Bus{"DefaultStartupMemoryLow", "t"}),
	offer("MemoryHigh", "memory above which the program is slowed down", memory(infinity, false)).sets(scaledBuses("MemoryHigh")...),
	offer("MemoryLow", "memory that is taken last when it is short", memory(0, true)).sets(scaledBuses("MemoryLow")...),
	offer("MemoryMax", "memory above which the program is killed", memory(infinity, false)).sets(scaledBuses("MemoryMax")...),
	offer("MemoryMin", "memory that is never taken", memory(0, true)).sets(scaledBuses("MemoryMin")...),
	offer("MemorySwapMax", "limit of swap", memory(infinity, true)).sets(scaledBuses("MemorySwapMax")...),
	offer("MemoryZSwapMax", "limit of compressed swap in memory", memory(infinity, true)).since(253).
		sets(scaledBuses("MemoryZSwapMax")...),
	offer("MemoryZSwapWriteback", "compressed swap may go to disk", boolean).since(256),
	offer("StartupMemoryHigh", "MemoryHigh= while the host starts", startup(infinity, false)).since(254).
		sets(Bus{"StartupMemoryHigh", "t"}),
	offer("StartupMemoryLow", "MemoryLow= while the host starts", startup(0, true)).since(254).sets(Bus{"StartupMemoryLow", "t"}),
	offer("StartupMemoryMax", "MemoryMax= while the host starts", startup(infinity, false)).since(254).
		sets(Bus{"StartupMemoryMax", "t"}),
	offer("StartupMemorySwapMax", "MemorySwapMax= while the host starts", startup(infinity, true)).since(254).
		sets(Bus{"StartupMemorySwapMax", "t"}),
	offer("StartupMemoryZSwapMax", "MemoryZSwapMax= while the host starts", startup(infinity, true)).since(254).
		sets(Bus{"StartupMemoryZSwapMax", "t"}),
)

var cgroupRefused = [][]*Directive{
	refused(Safe, "the broker turns it on for every unit",
		row("CPUAccounting", "b", "counts CPU time").live(),
		row("IOAccounting", "b", "counts disk access").live(),
		row("MemoryAccounting", "b", "counts memory").live(),
		row("TasksAccounting", "b", "counts processes").live(),
	),
	refused(Safe, "PID 1 forgets it at the next daemon-reload",
		row("MemoryPressureThresholdSec", "t", "how short memory must be for MemoryPressureWatch=").since(254).
			sets(Bus{"MemoryPressureThresholdUSec", "t"}),
	),
	refused(Resource, "it is of control groups version 1; use the directives with IO, CPUWeight and MemoryMax",
		row("BlockIOAccounting", "b", "counts disk access").live(),
		row("BlockIODeviceWeight", "a(st)", "see IODeviceWeight=").live(),
		row("BlockIOReadBandwidth", "a(st)", "see IOReadBandwidthMax=").live(),
		row("BlockIOWeight", "t", "see IOWeight=").live(),
		row("BlockIOWriteBandwidth", "a(st)", "see IOWriteBandwidthMax=").live(),
		row("CPUShares", "t", "see CPUWeight=").live(),
		row("MemoryLimit", "t", "see MemoryMax=").sets(scaledBuses("MemoryLimit")...).live(),
		row("StartupBlockIOWeight", "t", "see StartupIOWeight=").live(),
		row("StartupCPUShares", "t", "see StartupCPUWeight=").live(),
	),
	refused(Code, "it would load a program into the kernel",
		row("BPFProgram", "a(ss)", "BPF programs"),
		row("IPEgressFilterPath", "as", "BPF programs that filter what is sent"),
		row("IPIngressFilterPath", "as", "BPF programs that filter what is received"),
	),
	refused(Manager, "the control group of the unit is PID 1's, or the broker would lose sight of what is in it",
		row("CoredumpReceive", "b", "core dumps are passed into the control group").since(255),
		row("Delegate", "b", "the program manages its control group").sets(Bus{"Delegate", "b"}, Bus{"DelegateControllers", "as"}),
		row("DelegateSubgroup", "s", "where in its control group the program starts").since(254),
		row("DisableControllers", "as", "controllers that control groups below cannot use").live(),
	),
	refused(Network, "it would change the host's firewall",
		row("NFTSet", "a(iiss)", "adds the unit to sets of the firewall").since(255).live(),
	),
	refused(Network, notReviewed,
		row("BindNetworkInterface", "s", "network interface of all sockets").since(260),
	),
}

func concat(lists ...[]*Directive) []*Directive {
	var all []*Directive
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}
