// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"regexp"
	"strings"
)

// execTable are further directives of systemd.exec(5) and systemd.kill(5).
var execTable = []*Directive{
	flag("CPUSchedulingResetOnFork", Safe, yes, "children do not inherit realtime scheduling"),
	flag("IgnoreSIGPIPE", Safe, nil, "SIGPIPE is ignored; systemd's default is yes"),
	flag("MountAPIVFS", Safe, nil, "/proc, /sys, /dev and /run are there"),
	flag("NonBlocking", Safe, nil, "descriptors that are passed do not block"),
	flag("SendSIGHUP", Safe, nil, "SIGHUP follows the stop signal at once"),
	flag("SyslogLevelPrefix", Safe, nil, "a prefix such as <3> sets the level of a log line"),
	in(254, flag("MemoryKSM", Resource, off, "equal pages are merged, with those of other units")),
	{
		Name: "AppArmorProfile", Buses: bus("AppArmorProfile", "(bs)"), Class: Identity,
		Summary: "the AppArmor profile; - before it: if it exists",
		parse:   label("AppArmorProfile"),
	},
	{
		Name: "SmackProcessLabel", Buses: bus("SmackProcessLabel", "(bs)"), Class: Identity,
		Summary: "the SMACK label; - before it: if SMACK is there",
		parse:   label("SmackProcessLabel"),
	},
	{
		Name: "CPUAffinity", Buses: []Bus{{"CPUAffinity", "ay"}, {"CPUAffinityFromNUMA", "b"}}, Class: Resource,
		Summary: "CPUs to start on, such as 0-3, or numa; the unit may choose others",
		parse:   cpuAffinity,
	},
	{
		Name: "NUMAPolicy", Buses: bus("NUMAPolicy", "i"), Class: Resource,
		Summary: "where memory comes from: default, preferred, bind, interleave, local",
		parse:   numbered("NUMAPolicy", false, map[string]int32{"default": 0, "preferred": 1, "bind": 2, "interleave": 3, "local": 4}),
	},
	{
		Name: "NUMAMask", Buses: bus("NUMAMask", "ay"), Class: Resource,
		Summary: "NUMA nodes of NUMAPolicy=, such as 0-1",
		parse:   cpuSet("NUMAMask"),
	},
	{
		Name: "CPUSchedulingPolicy", Buses: bus("CPUSchedulingPolicy", "i"), Class: Resource,
		Summary: "other, batch, idle, fifo, rr; the last two are of class priority",
		parse:   numbered("CPUSchedulingPolicy", true, map[string]int32{"other": 0, "fifo": 1, "rr": 2, "batch": 3, "idle": 5}),
		raises:  func(text string) bool { return text != "other" && text != "batch" && text != "idle" && text != "" },
	},
	{
		Name: "CPUSchedulingPriority", Buses: bus("CPUSchedulingPriority", "i"), Class: Resource,
		Summary: "priority of fifo and rr, 1 to 99; class priority above 0",
		parse:   scalar("CPUSchedulingPriority", parseInt(0, 99)), raises: above(0),
	},
	{
		Name: "IOSchedulingClass", Buses: bus("IOSchedulingClass", "i"), Class: Resource,
		Summary: "none, realtime (class priority), best-effort, idle",
		parse:   numbered("IOSchedulingClass", true, map[string]int32{"none": 0, "realtime": 1, "best-effort": 2, "idle": 3}),
		raises:  func(text string) bool { return text == "realtime" || text == "1" },
	},
	{
		Name: "IOSchedulingPriority", Buses: bus("IOSchedulingPriority", "i"), Class: Resource,
		Summary: "0, the highest, to 7 within the class",
		parse:   scalar("IOSchedulingPriority", parseInt(0, 7)),
	},
	{
		Name: "Nice", Buses: bus("Nice", "i"), Class: Resource,
		Summary: "-20 to 19; class priority below 0",
		parse:   scalar("Nice", parseInt(-20, 19)), raises: below(0),
	},
	{
		Name: "OOMScoreAdjust", Buses: bus("OOMScoreAdjust", "i"), Class: Resource,
		Summary: "-1000 to 1000, who is killed first when memory is short; class priority below 0",
		parse:   scalar("OOMScoreAdjust", parseInt(-1000, 1000)), raises: below(0),
	},
	{
		Name: "CoredumpFilter", Buses: bus("CoredumpFilter", "t"), Class: Safe,
		Summary: "what memory goes into core dumps",
		parse:   coredumpFilter,
	},
	{
		Name: "ExecSearchPath", Buses: bus("ExecSearchPath", "as"), Class: Safe,
		Summary: "directories in which programs are looked for",
		parse:   searchPath,
	},
	{
		Name: "TimerSlackNSec", Buses: bus("TimerSlackNSec", "t"), Class: Safe,
		Summary: "how late timers may be",
		parse:   scalar("TimerSlackNSec", parseNanoseconds),
	},
	{
		Name: "LogLevelMax", Buses: bus("LogLevelMax", "i"), Class: Safe,
		Summary: "log lines above this level are dropped",
		parse:   numbered("LogLevelMax", true, levels),
	},
	{
		Name: "SyslogLevel", Buses: bus("SyslogLevel", "i"), Class: Safe,
		Summary: "the level of log lines without one",
		parse:   numbered("SyslogLevel", true, levels),
	},
	{
		Name: "SyslogFacility", Buses: bus("SyslogFacility", "i"), Class: Safe,
		Summary: "the facility of log lines: user, daemon, local0 to local7",
		parse: numbered("SyslogFacility", true, map[string]int32{
			"user": 1, "daemon": 3, "local0": 16, "local1": 17, "local2": 18, "local3": 19, "local4": 20, "local5": 21, "local6": 22, "local7": 23,
		}),
	},
	in(255, flag("SetLoginEnvironment", Safe, nil, "HOME, LOGNAME, SHELL and USER are set")),
	killSignal("KillSignal", "the signal that systemd stops the unit with; Nomad uses kill_signal"),
	killSignal("RestartKillSignal", "the signal of a restart; units are never restarted"),
	killSignal("WatchdogSignal", "the signal when the watchdog runs out; there is none"),
	in(253, killSignal("ReloadSignal", "the signal of a reload of Type=notify-reload")),
	{
		Name: "OOMPolicy", Buses: bus("OOMPolicy", "s"), Class: Resource,
		Summary: "when a process is killed for want of memory: continue, stop the unit, kill it as a whole",
		parse:   enum("OOMPolicy", "continue", "stop", "kill"), tighter: ascending("continue", "stop", "kill"),
	},
}

var levels = map[string]int32{"emerg": 0, "alert": 1, "crit": 2, "err": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}

func killSignal(name, summary string) *Directive {
	return &Directive{Name: name, Buses: bus(name, "i"), Class: Safe, Summary: summary, parse: scalar(name, signal)}
}

// securityLabel is a label of a security module, (bs): ignore if it cannot be
// set, and its name.
type securityLabel struct {
	Ignore bool
	Name   string
}

func label(bus string) parser {
	return scalar(bus, func(text string) (securityLabel, error) {
		name, ignore := strings.CutPrefix(text, "-")
		if !labelPattern.MatchString(name) {
			return securityLabel{}, errLabel
		}
		return securityLabel{ignore, name}, nil
	})
}

var (
	labelPattern = regexp.MustCompile(`\A[A-Za-z0-9_./:@+-]{1,255}\z`)
	errLabel     = errors.New("is not the name of a profile or label")
)
