// SPDX-License-Identifier: MPL-2.0

package directive

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// maxCPU is the most that systemd takes (CPU_SETSIZE grows to it in parse_cpu_set).
const maxCPU = 8191

// cpuSet is a list of CPUs or NUMA nodes and ranges of them; it is sent as a
// little endian bit mask.
func cpuSet(bus string) parser {
	return func(lines []string) ([]Value, error) {
		var mask []byte
		for word := range strings.FieldsSeq(strings.ReplaceAll(strings.Join(since(lines), " "), ",", " ")) {
			first, last, isRange := strings.Cut(word, "-")
			if !isRange {
				last = first
			}
			from, err1 := strconv.ParseUint(first, 10, 32)
			to, err2 := strconv.ParseUint(last, 10, 32)
			if err1 != nil || err2 != nil || from > to || to > maxCPU {
				return nil, fmt.Errorf("is not a list of numbers up to %d and ranges, such as 0-3,6", maxCPU)
			}
			for n := from; n <= to; n++ {
				for len(mask) <= int(n/8) {
					mask = append(mask, 0)
				}
				mask[n/8] |= 1 << (n % 8)
			}
		}
		if mask == nil {
			return nil, nil
		}
		return only(bus, mask), nil
	}
}

// cpuAffinity is a set of CPUs, or those of the NUMA nodes of NUMAMask=.
func cpuAffinity(lines []string) ([]Value, error) {
	if lines[len(lines)-1] == "numa" {
		return only("CPUAffinityFromNUMA", true), nil
	}
	return cpuSet("CPUAffinity")(lines)
}

// capabilities are those of capabilities(7), by number.
var capabilities = []string{
	"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
	"linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
	"sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
	"sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
	"mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
	"checkpoint_restore",
}

const allCapabilities = 1<<41 - 1

// capabilitySet adds up lines of capabilities; "~" before a line takes them
// away, and stands for all others where there are none yet
// (config_parse_capability_set in systemd's core/load-fragment.c).
func capabilitySet(bus string, initial uint64) parser {
	return func(lines []string) ([]Value, error) {
		set := initial
		for _, line := range lines {
			text, invert := strings.CutPrefix(line, "~")
			var sum uint64
			for word := range strings.FieldsSeq(text) {
				name := strings.TrimPrefix(strings.ToLower(word), "cap_")
				i := slices.Index(capabilities, name)
				if i < 0 {
					return nil, fmt.Errorf("holds %s, which is no capability%s", word, didYouMean(name, slices.Values(capabilities)))
				}
				sum |= 1 << i
			}
			switch {
			case sum == 0 || set == initial:
				if set = sum; invert {
					set = ^sum
				}
			case invert:
				set &^= sum
			default:
				set |= sum
			}
		}
		return only(bus, set&allCapabilities), nil
	}
}

// harmless are capabilities with which a program is not as good as root: it can
// disturb others at most, where the policy lets it.
var harmless = []string{
	"net_bind_service", "net_broadcast", "net_raw", "net_admin", "ipc_lock", "sys_nice", "kill", "lease",
	"wake_alarm", "block_suspend", "sys_time", "perfmon",
}

// ambient is a set of capabilities that a program has, which can be harmless ones
// only.
func ambient(lines []string) ([]Value, error) {
	values, err := capabilitySet("AmbientCapabilities", 0)(lines)
	if err != nil {
		return nil, err
	}
	set, _ := number(values[0])
	for i, name := range capabilities {
		if set&(1<<i) != 0 && !slices.Contains(harmless, name) {
			return nil, fmt.Errorf("holds CAP_%s, with which a task would be as good as root; possible are %s",
				strings.ToUpper(name), strings.Join(harmless, ", "))
		}
	}
	return values, nil
}

var namespaces = map[string]uint64{
	"cgroup": unix.CLONE_NEWCGROUP, "ipc": unix.CLONE_NEWIPC, "net": unix.CLONE_NEWNET, "mnt": unix.CLONE_NEWNS,
	"pid": unix.CLONE_NEWPID, "user": unix.CLONE_NEWUSER, "uts": unix.CLONE_NEWUTS,
}

// restrictNamespaces is sent as the set of namespaces that are allowed
// (config_parse_restrict_namespaces).
func restrictNamespaces(lines []string) ([]Value, error) {
	var all uint64
	for _, bit := range namespaces {
		all |= bit
	}
	allowed, given := all, false
	for _, line := range lines {
		if line == "" {
			allowed, given = all, false
			continue
		}
		text, invert := strings.CutPrefix(line, "~")
		if b, err := parseBoolean(text); err == nil {
			given, allowed = true, all
			if b != invert {
				allowed = 0
			}
			continue
		}
		var set uint64
		for word := range strings.FieldsSeq(text) {
			bit, ok := namespaces[word]
			if !ok {
				return nil, fmt.Errorf("holds %s, which is none of yes, no, cgroup, ipc, net, mnt, pid, user, uts", word)
			}
			set |= bit
		}
		switch {
		case !given && invert:
			allowed = all &^ set
		case !given:
			allowed = set
		case invert:
			allowed &^= set
		default:
			allowed |= set
		}
		given = true
	}
	if !given {
		return nil, nil
	}
	return only("RestrictNamespaces", allowed), nil
}

// filter is a list of words that are allowed, or with Allow false denied; on
// D-Bus (bas).
type filter struct {
	Allow bool
	Names []string
}

// filterList sends each line on its own: PID 1 joins them as in a unit file.
func filterList(bus string, read func(word string, allow bool) (string, int, error)) parser {
	return func(lines []string) ([]Value, error) {
		var all []Value
		for _, line := range since(lines) {
			text, deny := strings.CutPrefix(line, "~")
			f, newest := filter{Allow: !deny, Names: []string{}}, 0
			for word := range strings.FieldsSeq(text) {
				name, version, err := read(word, !deny)
				if err != nil {
					return nil, err
				}
				f.Names, newest = append(f.Names, name), max(newest, version)
			}
			if len(f.Names) == 0 {
				return nil, errors.New("names nothing after ~; leave it empty for the default")
			}
			v := value(bus, f)
			v.Since = newest
			all = append(all, v)
		}
		return all, nil
	}
}

// Merge makes one value of each filter whose lines come one by one, the one that
// PID 1 has in the end. Of filters of system calls it keeps the first line: only
// PID 1 knows what groups stand for.
func Merge(values []Value) []Value {
	var all []Value
	for _, v := range values {
		i := slices.IndexFunc(all, func(w Value) bool { return w.Name == v.Name })
		f, ok := v.Value.Value().(filter)
		if i < 0 || !ok {
			all = append(all, v)
			continue
		}
		have, _ := all[i].Value.Value().(filter)
		if strings.HasPrefix(v.Name, "SystemCall") {
			continue
		}
		if f.Allow == have.Allow {
			have.Names = slices.Concat(have.Names, f.Names)
		} else {
			have.Names = slices.DeleteFunc(slices.Clone(have.Names), func(name string) bool { return slices.Contains(f.Names, name) })
		}
		all[i].Value = dbus.MakeVariant(have)
	}
	return all
}

// syscalls.txt and filesystems.txt are what systemd 252 and 257 print as the
// known names (systemd-analyze syscall-filter, systemd-analyze filesystems); a
// number behind a name is the first of the two that has it.
var (
	//go:embed syscalls.txt
	syscallsText string
	//go:embed filesystems.txt
	filesystemsText string

	syscalls    = nameSet(syscallsText)
	filesystems = nameSet(filesystemsText)
)

func nameSet(text string) map[string]int {
	set := map[string]int{}
	for line := range strings.Lines(text) {
		name, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		set[name], _ = strconv.Atoi(version)
	}
	return set
}

func names(set map[string]int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range set {
			if !yield(name) {
				return
			}
		}
	}
}

// syscall is a system call or a group, with an error number behind it if it is
// denied: name:EPERM, name:13, name:kill.
func syscall(word string, allow bool) (string, int, error) {
	name, number, has := strings.Cut(word, ":")
	version, ok := syscalls[name]
	switch {
	case !ok:
		return "", 0, fmt.Errorf("holds %s, which is no system call or group that systemd knows%s", name, didYouMean(name, names(syscalls)))
	case has && allow:
		return "", 0, fmt.Errorf("holds %s: an error number makes sense in a line that denies, which begins with ~", word)
	case has:
		if _, err := errorNumber(number); err != nil {
			return "", 0, fmt.Errorf("holds %s, whose error number %w", word, err)
		}
	}
	return word, version, nil
}

func filesystem(word string, _ bool) (string, int, error) {
	version, ok := filesystems[word]
	if !ok {
		return "", 0, fmt.Errorf("holds %s, which is no file system or group that systemd knows%s", word, didYouMean(word, names(filesystems)))
	}
	return word, version, nil
}

// kill is what systemd has for "kill" among error numbers
// (SECCOMP_ERROR_NUMBER_KILL in its shared/seccomp-util.h).
const kill = 1<<31 - 2

// errorNumber is an error's name or number of errno(3), or kill.
func errorNumber(text string) (int32, error) {
	if text == "kill" {
		return kill, nil
	}
	if n, err := parseInt(0, 4095)(text); err == nil {
		return n, nil
	}
	for n := unix.Errno(1); n < 134; n++ {
		if unix.ErrnoName(n) == text {
			return int32(n), nil
		}
	}
	return 0, errors.New("is not the name or number of an error, such as EPERM, nor kill")
}

// addressFamilies are those of address_families(7).
var addressFamilies = strings.Fields(`AF_UNIX AF_LOCAL AF_INET AF_INET6 AF_NETLINK AF_PACKET AF_AX25 AF_IPX AF_APPLETALK
	AF_NETROM AF_BRIDGE AF_ATMPVC AF_X25 AF_ROSE AF_DECnet AF_NETBEUI AF_SECURITY AF_KEY AF_ASH AF_ECONET AF_ATMSVC
	AF_RDS AF_IRDA AF_PPPOX AF_WANPIPE AF_LLC AF_IB AF_MPLS AF_CAN AF_TIPC AF_BLUETOOTH AF_IUCV AF_RXRPC AF_ISDN
	AF_PHONET AF_IEEE802154 AF_CAIF AF_ALG AF_NFC AF_VSOCK AF_KCM AF_QIPCRTR AF_SMC AF_XDP AF_MCTP`)

// restrictAddressFamilies takes lists, and "none" for an empty one that allows
// nothing.
func restrictAddressFamilies(lines []string) ([]Value, error) {
	if lines[len(lines)-1] == "none" {
		return only("RestrictAddressFamilies", filter{Allow: true, Names: []string{}}), nil
	}
	return filterList("RestrictAddressFamilies", func(word string, _ bool) (string, int, error) {
		if !slices.Contains(addressFamilies, word) {
			return "", 0, fmt.Errorf("holds %s, which is no address family%s", word, didYouMean(word, slices.Values(addressFamilies)))
		}
		return word, 0, nil
	})(lines)
}

// bits adds up words that stand for bits.
func bits(bus string, known map[string]int32) parser {
	return func(lines []string) ([]Value, error) {
		var set int32
		list := words(lines)
		for _, word := range list {
			bit, ok := known[word]
			if !ok {
				return nil, fmt.Errorf("holds %s, which is not known", word)
			}
			set |= bit
		}
		if list == nil {
			return nil, nil
		}
		return only(bus, set), nil
	}
}

var dumpBits = []string{
	"private-anonymous", "shared-anonymous", "private-file-backed", "shared-file-backed", "elf-headers",
	"private-huge", "shared-huge", "private-dax", "shared-dax",
}

// coredumpFilter is a set of kinds of memory, by name or as a hexadecimal mask.
func coredumpFilter(lines []string) ([]Value, error) {
	var set uint64
	list := words(lines)
	for _, word := range list {
		switch i := slices.Index(dumpBits, word); {
		case i >= 0:
			set |= 1 << i
		case word == "default":
			set |= 1<<0 | 1<<1 | 1<<4 | 1<<5
		case word == "all":
			set |= 1<<64 - 1
		default:
			n, err := strconv.ParseUint(word, 16, 64)
			if err != nil {
				return nil, fmt.Errorf("holds %s, which is none of default, all, %s nor a mask", word, strings.Join(dumpBits, ", "))
			}
			set |= n
		}
	}
	if list == nil {
		return nil, nil
	}
	return only("CoredumpFilter", set), nil
}

// signal is a signal's name, with or without SIG, or number.
func signal(text string) (int32, error) {
	if n, err := parseInt(1, 64)(text); err == nil {
		return n, nil
	}
	name := strings.TrimPrefix(text, "SIG")
	if n := unix.SignalNum("SIG" + name); n != 0 {
		return int32(n), nil //nolint:gosec // a signal's
	}
	if rest, ok := strings.CutPrefix(name, "RTMIN"); ok {
		// 34, as the C library keeps two for itself.
		n, err := parseInt(0, 30)(strings.TrimPrefix(rest, "+"))
		switch {
		case rest == "":
			return 34, nil
		case err == nil && rest[0] == '+':
			return 34 + n, nil
		}
	}
	return 0, errors.New("is not a signal, such as SIGTERM")
}
