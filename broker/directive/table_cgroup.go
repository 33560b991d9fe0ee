// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"slices"
)

// cgroupTable are the directives of systemd.resource-control(5). Those that the
// request has fields for are refused instead, see table_refused.go.
var cgroupTable = live(slices.Concat(shareTable, memoryTable, networkTable)...)

var shareTable = []*Directive{
	forced(flag("CPUAccounting", Safe, nil, "CPU time is counted"), "yes"),
	forced(flag("IOAccounting", Safe, nil, "input and output is counted"), "yes"),
	flag("IPAccounting", Safe, nil, "network traffic is counted"),
	forced(flag("MemoryAccounting", Safe, nil, "memory is counted"), "yes"),
	forced(flag("TasksAccounting", Safe, nil, "processes are counted"), "yes"),
	{
		Name: "StartupCPUWeight", Buses: bus("StartupCPUWeight", "t"), Class: Resource,
		Summary: "CPUWeight= while the host starts or stops",
		parse:   scalar("StartupCPUWeight", cpuWeight),
	},
	{
		Name: "CPUQuota", Buses: bus("CPUQuotaPerSecUSec", "t"), Class: Resource,
		Summary: "the most CPU time, as a percentage of one CPU",
		parse:   scalar("CPUQuotaPerSecUSec", cpuQuota), tighter: lower,
	},
	{
		Name: "CPUQuotaPeriodSec", Buses: bus("CPUQuotaPeriodUSec", "t"), Class: Resource,
		Summary: "over what time CPUQuota= is measured, 1ms to 1000ms",
		parse:   scalar("CPUQuotaPeriodUSec", parseSeconds),
	},
	{
		Name: "StartupAllowedCPUs", Buses: bus("StartupAllowedCPUs", "ay"), Class: Resource,
		Summary: "AllowedCPUs= while the host starts or stops",
		parse:   cpuSet("StartupAllowedCPUs"),
	},
	{
		Name: "AllowedMemoryNodes", Buses: bus("AllowedMemoryNodes", "ay"), Class: Resource,
		Summary: "NUMA nodes that memory may come from",
		parse:   cpuSet("AllowedMemoryNodes"),
	},
	{
		Name: "StartupAllowedMemoryNodes", Buses: bus("StartupAllowedMemoryNodes", "ay"), Class: Resource,
		Summary: "AllowedMemoryNodes= while the host starts or stops",
		parse:   cpuSet("StartupAllowedMemoryNodes"),
	},
	weight("IOWeight", "share of input and output among units, 1 to 10000"),
	weight("StartupIOWeight", "IOWeight= while the host starts or stops"),
	device("IODeviceWeight", parseUint(1, 10000), "IOWeight= for one device, as \"/dev/sda 200\"", nil),
	device("IOReadBandwidthMax", sizeLimit(1000), "most bytes read each second, as \"/dev/sda 10M\"", longer),
	device("IOWriteBandwidthMax", sizeLimit(1000), "most bytes written each second, as \"/dev/sda 10M\"", longer),
	device("IOReadIOPSMax", sizeLimit(1000), "most reads each second, as \"/dev/sda 1K\"", longer),
	device("IOWriteIOPSMax", sizeLimit(1000), "most writes each second, as \"/dev/sda 1K\"", longer),
	renamed("IODeviceLatencyTargetSec", "IODeviceLatencyTargetUSec",
		device("IODeviceLatencyTargetUSec", parseSeconds, "the latency to be kept, as \"/dev/sda 25ms\"; class priority", nil)),
	{
		Name: "DeviceAllow", Buses: bus("DeviceAllow", "a(ss)"), Class: HostPath,
		Summary: "devices that can be used, as \"/dev/fuse rw\" or \"char-input r\"",
		parse:   items("DeviceAllow", deviceAllow),
	},
	word("DevicePolicy", Safe, "devices besides those of DeviceAllow=", "auto", "closed", "strict"),
}

var memoryTable = []*Directive{
	memoryLimit("MemoryHigh", 0, Resource, "memory above which the unit is slowed down"),
	memoryLimit("MemorySwapMax", 0, Resource, "the most swap"),
	in(253, memoryLimit("MemoryZSwapMax", 253, Resource, "the most compressed swap")),
	in(254, memoryLimit("StartupMemoryHigh", 254, Resource, "MemoryHigh= while the host starts or stops")),
	in(254, memoryLimit("StartupMemorySwapMax", 254, Resource, "MemorySwapMax= while the host starts or stops")),
	in(254, memoryLimit("StartupMemoryZSwapMax", 254, Resource, "MemoryZSwapMax= while the host starts or stops")),
	protection("MemoryMin", 0, "memory that is never taken away; others go without"),
	protection("DefaultMemoryMin", 0, "MemoryMin= of children"),
	protection("DefaultMemoryLow", 0, "MemoryLow= of children"),
	protection("DefaultStartupMemoryLow", 254, "DefaultMemoryLow= while the host starts or stops"),
	protection("StartupMemoryLow", 254, "MemoryLow= while the host starts or stops"),
	in(256, flag("MemoryZSwapWriteback", Resource, nil, "compressed swap may go to disk")),
	{
		Name: "ManagedOOMSwap", Buses: bus("ManagedOOMSwap", "s"), Class: Resource,
		Summary: "systemd-oomd kills the unit when swap is short: auto, kill",
		parse:   enum("ManagedOOMSwap", "auto", "kill"), tighter: ascending("auto", "kill"),
	},
	{
		Name: "ManagedOOMMemoryPressure", Buses: bus("ManagedOOMMemoryPressure", "s"), Class: Resource,
		Summary: "systemd-oomd kills the unit when it waits for memory: auto, kill",
		parse:   enum("ManagedOOMMemoryPressure", "auto", "kill"), tighter: ascending("auto", "kill"),
	},
	{
		Name: "ManagedOOMMemoryPressureLimit", Buses: bus("ManagedOOMMemoryPressureLimit", "u"), Class: Resource,
		Summary: "how much waiting ManagedOOMMemoryPressure= allows, as a percentage",
		parse:   scalar("ManagedOOMMemoryPressureLimit", percentScale),
	},
	in(257, &Directive{
		Name: "ManagedOOMMemoryPressureDurationSec", Buses: bus("ManagedOOMMemoryPressureDurationUSec", "t"), Class: Resource,
		Summary: "for how long ManagedOOMMemoryPressureLimit= must be passed",
		parse:   scalar("ManagedOOMMemoryPressureDurationUSec", parseSeconds),
	}),
	{
		Name: "ManagedOOMPreference", Buses: bus("ManagedOOMPreference", "s"), Class: Priority,
		Summary: "systemd-oomd spares the unit: none, avoid, omit",
		parse:   enum("ManagedOOMPreference", "none", "avoid", "omit"),
	},
	in(254, &Directive{
		Name: "MemoryPressureWatch", Buses: bus("MemoryPressureWatch", "s"), Class: Safe,
		Summary: "the unit is told how to watch for memory pressure: auto, on, off, skip",
		parse:   enum("MemoryPressureWatch", "auto", "on", "off", "skip"),
	}),
	in(254, &Directive{
		Name: "MemoryPressureThresholdSec", Buses: bus("MemoryPressureThresholdUSec", "t"), Class: Safe,
		Summary: "how much waiting MemoryPressureWatch= is about",
		parse:   scalar("MemoryPressureThresholdUSec", parseSeconds),
	}),
}

var networkTable = []*Directive{
	{
		Name: "IPAddressDeny", Buses: bus("IPAddressDeny", "a(iayu)"), Class: Safe,
		Summary: "addresses that cannot be reached nor reach: ranges, any, localhost, link-local, multicast",
		parse:   addressList("IPAddressDeny"), tighter: longer,
	},
	{
		Name: "IPAddressAllow", Buses: bus("IPAddressAllow", "a(iayu)"), Class: Network,
		Summary: "exceptions of IPAddressDeny=",
		parse:   addressList("IPAddressAllow"),
	},
	{
		Name: "SocketBindDeny", Buses: bus("SocketBindDeny", "a(iiqq)"), Class: Safe,
		Summary: "ports that sockets cannot be bound to: [ipv4:|ipv6:][tcp:|udp:]PORT, FROM-TO or any",
		parse:   items("SocketBindDeny", socketBind), tighter: longer,
	},
	{
		Name: "SocketBindAllow", Buses: bus("SocketBindAllow", "a(iiqq)"), Class: Network,
		Summary: "exceptions of SocketBindDeny=",
		parse:   items("SocketBindAllow", socketBind),
		// A slice's own list holds beside the unit's. IPAddressAllow= has none,
		// as it overrides IPAddressDeny= of slices.
		exceptionOf: "SocketBindDeny",
	},
}

// cpuWeight is a weight or "idle".
func cpuWeight(text string) (uint64, error) {
	if text == "idle" {
		return 0, nil
	}
	n, err := parseUint(1, 10000)(text)
	if err != nil {
		return 0, errors.New("is not a weight from 1 to 10000 nor idle")
	}
	return n, nil
}

func weight(name, summary string) *Directive {
	return &Directive{
		Name: name, Buses: bus(name, "t"), Class: Resource, Summary: summary,
		parse: scalar(name, parseUint(1, 10000)),
	}
}

func device(name string, read func(string) (uint64, error), summary string, tighter func(*Directive, []string, []string) bool) *Directive {
	return &Directive{
		Name: name, Buses: bus(name, "a(st)"), Class: Resource, Summary: summary,
		parse: perDevice(name, read), tighter: tighter,
	}
}

// renamed is a directive whose property has another name.
func renamed(name, bus string, d *Directive) *Directive {
	d.Name, d.Buses[0].Name, d.Class = name, bus, Priority
	return d
}

func memoryLimit(name string, since int, c Class, summary string) *Directive {
	d := &Directive{
		Name: name, Buses: []Bus{{name, "t"}, {name + "Scale", "u"}}, Since: since, Class: c,
		Summary: summary + ", as a size, a percentage or infinity",
		parse:   memory(name), tighter: lower,
	}
	if since >= 254 {
		// systemd has no such property, though its manual page says so.
		d.Buses, d.parse = d.Buses[:1], scalar(name, sizeLimit(1024))
		d.Summary = summary + ", as a size or infinity"
	}
	return d
}

func protection(name string, since int, summary string) *Directive {
	d := memoryLimit(name, since, Priority, summary)
	d.tighter = nil
	return d
}
