// SPDX-License-Identifier: MPL-2.0

package unit

import (
	"net/netip"
	"reflect"
	"slices"
)

// comparisons are of properties that PID 1 may make stricter than they were
// sent, or gives in another form. Each reports whether what PID 1 has is good
// for all that was sent.
var comparisons = map[string]func(sent []any, got any) bool{
	"ExecStart":             sameExec,
	"ExecStartEx":           sameExec,
	"CapabilityBoundingSet": subset, // PrivateDevices= and others take some away
	"IPAddressDeny":         func(sent []any, got any) bool { return covers(prefixesOf(got), prefixesOf(folded(sent))) },
	"IPAddressAllow":        func(sent []any, got any) bool { return covers(prefixesOf(folded(sent)), prefixesOf(got)) },
	"DeviceAllow":           sameDevices,
	"ProtectHome":           stricterOf("no", "read-only", "tmpfs", "yes"),
	"ProtectSystem":         stricterOf("no", "yes", "full", "strict"),
	"IODeviceWeight":        lastOfEach, "IODeviceLatencyTargetUSec": lastOfEach,
	"IOReadBandwidthMax": lastOfEach, "IOWriteBandwidthMax": lastOfEach,
	"IOReadIOPSMax": lastOfEach, "IOWriteIOPSMax": lastOfEach,
	// Without a class of its own a unit has the default one, best-effort.
	"IOSchedulingClass": func(sent []any, got any) bool {
		return sent[len(sent)-1] == got || sent[len(sent)-1] == int32(0) && got == int32(2)
	},
	"SELinuxContext": sameContext,
	// Infinity is the default, as which it is given.
	"TimerSlackNSec": func(sent []any, got any) bool {
		return sent[len(sent)-1] == got || sent[len(sent)-1] == ^uint64(0)
	},
	"NoNewPrivileges":  atLeast,
	"RestrictSUIDSGID": atLeast,
	"PrivateTmp":       atLeast,
	"PrivateMounts":    atLeast,
}

// atLeast is for booleans that PID 1 turns on for DynamicUser=.
func atLeast(sent []any, got any) bool { return got == true || sent[len(sent)-1] == got }

// sameContext: PID 1 gives whether a context may be ignored, and the context.
func sameContext(sent []any, got any) bool {
	return reflect.DeepEqual(got, []any{false, sent[len(sent)-1]})
}

func stricterOf(order ...string) func([]any, any) bool {
	rank := func(v any) int {
		s, ok := v.(string)
		if !ok {
			return -1
		}
		return slices.Index(order, s)
	}
	return func(sent []any, got any) bool {
		want := rank(sent[len(sent)-1])
		return want >= 0 && rank(got) >= want
	}
}

func subset(sent []any, got any) bool {
	want, ok := sent[len(sent)-1].(uint64)
	is, ok2 := got.(uint64)
	return ok && ok2 && is&^want == 0
}

// sameExec compares path, arguments and flags; PID 1 adds when and how the
// program ended.
func sameExec(sent []any, got any) bool {
	want, all := rows(sent[len(sent)-1]), rows(got)
	if len(want) == 0 || len(want) != len(all) {
		return false
	}
	for i, e := range all {
		if len(e) < len(want[i]) || !reflect.DeepEqual(e[:len(want[i])], want[i]) {
			return false
		}
	}
	return true
}

// rows takes a list of structures apart, be they Go's or the wire's.
func rows(list any) [][]any {
	if wire, ok := list.([][]any); ok {
		return wire
	}
	v := reflect.ValueOf(list)
	if v.Kind() != reflect.Slice || v.Type().Elem().Kind() != reflect.Struct {
		return nil
	}
	var all [][]any
	for i := range v.Len() {
		var row []any
		for _, field := range v.Index(i).Fields() {
			row = append(row, field.Interface())
		}
		all = append(all, row)
	}
	return all
}

// prefixesOf are the networks of a list a(iayu).
func prefixesOf(list any) []netip.Prefix {
	var all []netip.Prefix
	for _, row := range rows(list) {
		if len(row) != 3 {
			continue
		}
		bytes, ok := row[1].([]byte)
		bits, ok2 := row[2].(uint32)
		if addr, ok3 := netip.AddrFromSlice(bytes); ok && ok2 && ok3 {
			all = append(all, netip.PrefixFrom(addr, int(bits)).Masked())
		}
	}
	return all
}

// covers reports whether each of the networks lies in one of whole.
func covers(whole, networks []netip.Prefix) bool {
	return !slices.ContainsFunc(networks, func(n netip.Prefix) bool {
		return !n.IsValid() || !slices.ContainsFunc(whole, func(w netip.Prefix) bool { return w.Bits() <= n.Bits() && w.Contains(n.Addr()) })
	})
}

// addedDevices are those that PID 1 adds of its own: the clock that ProtectClock=
// leaves readable, and what mounts the images of RootImage= and MountImages=.
var addedDevices = [][]any{
	{"char-rtc", "r"},
	{"/dev/loop-control", "rw"},
	{"/dev/mapper/control", "rw"},
	{"block-loop", "rwm"},
	{"block-blkext", "rwm"},
	{"block-device-mapper", "rwm"},
}

// sameDevices lets PID 1 have what was sent, and what it adds.
func sameDevices(sent []any, got any) bool {
	want := rows(folded(sent))
	has := func(list [][]any, row []any) bool {
		return slices.ContainsFunc(list, func(r []any) bool { return reflect.DeepEqual(r, row) })
	}
	all := rows(got)
	return !slices.ContainsFunc(want, func(r []any) bool { return !has(all, r) }) &&
		!slices.ContainsFunc(all, func(r []any) bool { return !has(want, r) && !has(addedDevices, r) })
}

// lastOfEach compares limits of devices, of which the last line for a device counts.
func lastOfEach(sent []any, got any) bool {
	want, is := map[any]any{}, map[any]any{}
	for _, s := range sent {
		list := rows(s)
		if len(list) == 0 {
			clear(want)
		}
		for _, r := range list {
			want[r[0]] = r[1]
		}
	}
	for _, r := range rows(got) {
		if len(r) == 2 {
			is[r[0]] = r[1]
		}
	}
	return reflect.DeepEqual(want, is)
}
