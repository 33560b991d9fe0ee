// SPDX-License-Identifier: MPL-2.0

package unit

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// TestDifferences compares what was sent, property by property, with what PID 1
// answers in its own forms.
func TestDifferences(t *testing.T) {
	type devices = []struct {
		Path  string
		Value uint64
	}
	type address = struct {
		Family  int32
		Address []byte
		Prefix  uint32
	}
	type rule = struct{ Device, Access string }
	type filter = struct {
		Allow bool
		Names []string
	}
	v4 := func(a, b, c, d byte, bits uint32) address { return address{2, []byte{a, b, c, d}, bits} }
	wire := func(allow bool, names ...string) any { return []any{allow, names} }
	tests := []struct {
		name     string
		property string
		sent     []any
		got      any // nil: not in the answer
		good     bool
	}{
		{"the same text", "ProtectProc", []any{"invisible"}, "invisible", true},
		{"another text", "ProtectProc", []any{"invisible"}, "default", false},
		{"nothing", "ProtectProc", []any{"invisible"}, nil, false},
		{"another type", "ProtectClock", []any{true}, "yes", false},
		{"the last value counts", "OOMPolicy", []any{"kill", "continue"}, "continue", true},
		{"an earlier value does not", "OOMPolicy", []any{"kill", "continue"}, "kill", false},
		{"a protection that is off", "PrivateNetwork", []any{true}, false, false},
		{"a protection that PID 1 turned on", "NoNewPrivileges", []any{false}, true, true},
		{"a protection that PID 1 turned off", "NoNewPrivileges", []any{true}, false, false},
		{"a stricter ProtectHome", "ProtectHome", []any{"no"}, "read-only", true},
		{"a weaker ProtectHome", "ProtectHome", []any{"yes"}, "read-only", false},
		{"fewer capabilities", "CapabilityBoundingSet", []any{uint64(3)}, uint64(1), true},
		{"more capabilities", "CapabilityBoundingSet", []any{uint64(1)}, uint64(3), false},
		{"more ambient capabilities", "AmbientCapabilities", []any{uint64(0)}, uint64(1), false},
		{"a context", "SELinuxContext", []any{"a:b:c"}, []any{false, "a:b:c"}, true},
		{"another context", "SELinuxContext", []any{"a:b:c"}, []any{false, "a:b:d"}, false},
		{"a context that may fail", "SELinuxContext", []any{"a:b:c"}, []any{true, "a:b:c"}, false},
		{"the default slack", "TimerSlackNSec", []any{uint64(math.MaxUint64)}, uint64(50000), true},
		{"another slack", "TimerSlackNSec", []any{uint64(10)}, uint64(50000), false},
		{"a list in another order", "ReadOnlyPaths", []any{[]string{"/b", "/a"}}, []string{"/a", "/b"}, true},
		{"lines of a list", "ReadOnlyPaths", []any{[]string{"/b"}, []string{}, []string{"/a"}, []string{"/c"}}, []string{"/a", "/c"}, true},
		{"a path that was dropped", "ReadOnlyPaths", []any{[]string{"/b", "/a"}}, []string{"/a"}, false},
		{"a directive by its old name", "InaccessibleDirectories", []any{[]string{"/a"}}, nil, false},
		{"a mask with zeros behind", "AllowedCPUs", []any{[]byte{5}}, []byte{5, 0, 0}, true},
		{"another mask", "AllowedCPUs", []any{[]byte{5}}, []byte{5, 1}, false},
		{"a limit", "LimitNOFILE", []any{uint64(10)}, uint64(10), true},
		{"a limit that is gone", "MemoryMax", []any{uint64(10)}, uint64(math.MaxUint64), false},
		{"a wider network", "IPAddressDeny", []any{[]address{v4(10, 1, 0, 0, 16)}}, [][]any{{int32(2), []byte{10, 0, 0, 0}, uint32(8)}}, true},
		{"a narrower network", "IPAddressDeny", []any{[]address{v4(10, 0, 0, 0, 8)}}, [][]any{{int32(2), []byte{10, 1, 0, 0}, uint32(16)}}, false},
		{"a network that was not allowed", "IPAddressAllow", []any{[]address{v4(10, 1, 0, 0, 16)}}, [][]any{{int32(2), []byte{10, 0, 0, 0}, uint32(8)}}, false},
		{"host bits of a network", "IPAddressDeny", []any{[]address{v4(10, 1, 2, 3, 8)}}, [][]any{{int32(2), []byte{10, 0, 0, 0}, uint32(8)}}, true},
		{"a clock beside devices", "DeviceAllow", []any{[]rule{{"/dev/kvm", "rw"}}}, [][]any{{"char-rtc", "r"}, {"/dev/kvm", "rw"}}, true},
		{"what mounts images beside devices", "DeviceAllow", []any{[]rule{}}, [][]any{{"/dev/loop-control", "rw"}, {"block-loop", "rwm"}}, true},
		{"a device that nobody sent", "DeviceAllow", []any{[]rule{}}, [][]any{{"/dev/mem", "rw"}}, false},
		{"a command with privileges", "ExecStartEx", []any{[]commandEx{{"/a", []string{"/a"}, []string{}}}}, [][]any{{"/a", []string{"/a"}, []string{"privileged"}, uint64(0)}}, false},
		{"a command before", "ExecStartPre", []any{[]exec{}}, [][]any{{"/a", []string{"/a"}, false, uint64(0)}}, false},
		{"a device more", "DeviceAllow", []any{[]rule{{"/dev/kvm", "rw"}}}, [][]any{{"/dev/mem", "rw"}, {"/dev/kvm", "rw"}}, false},
		{"the last limit of a device", "IOReadBandwidthMax", []any{devices{{"/dev/vda", 1}, {"/dev/vda", 2}}}, [][]any{{"/dev/vda", uint64(2)}}, true},
		{"no limit of a device", "IOReadBandwidthMax", []any{devices{{"/dev/vda", 1}}}, [][]any{}, false},
		{"a command", "ExecStart", []any{[]exec{{"/a", []string{"/a"}, false}}}, [][]any{{"/a", []string{"/a"}, false, uint64(0)}}, true},
		{"another command", "ExecStart", []any{[]exec{{"/a", []string{"/a"}, false}}}, [][]any{{"/a", []string{"/b"}, false, uint64(0)}}, false},
		{"a group as its members", "SystemCallFilter", []any{filter{false, []string{"@clock", "ptrace"}}}, wire(false, "adjtimex", "clock_settime", "ptrace", "settimeofday"), true},
		{"a group that is missing", "SystemCallFilter", []any{filter{false, []string{"@clock", "ptrace"}}}, wire(false, "ptrace"), false},
		{"a call that is missing", "SystemCallFilter", []any{filter{false, []string{"ptrace"}}}, wire(false, "mount"), false},
		{"a call with its error", "SystemCallFilter", []any{filter{false, []string{"ptrace:EPERM"}}}, wire(false, "ptrace:EPERM"), true},
		{"the other sense", "SystemCallFilter", []any{filter{true, []string{"ptrace"}}}, wire(false, "ptrace"), false},
		{"an allowed list less some", "SystemCallFilter", []any{filter{true, []string{"@system-service"}}, filter{false, []string{"@reboot"}}}, wire(true, "read"), true},
		{"an allowed list with what was taken away", "SystemCallFilter", []any{filter{true, []string{"@system-service"}}, filter{false, []string{"@reboot"}}}, wire(true, "read", "reboot"), false},
		{"no filter at all", "SystemCallFilter", []any{filter{false, []string{"@reboot"}}}, wire(false), false},
		{"families", "RestrictAddressFamilies", []any{filter{true, []string{"AF_UNIX"}}}, wire(true, "AF_UNIX"), true},
		{"no family at all", "RestrictAddressFamilies", []any{filter{true, []string{}}}, wire(true), true},
		{"every family", "RestrictAddressFamilies", []any{filter{true, []string{}}}, wire(false), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var sent []Property
			for _, v := range tt.sent {
				sent = append(sent, Property{tt.property, dbus.MakeVariant(v)})
			}
			read := map[string]dbus.Variant{}
			if tt.got != nil {
				read[tt.property] = dbus.MakeVariant(tt.got)
			}
			all := Differences(sent, read)
			if good := len(all) == 0; good != tt.good {
				t.Errorf("got %v, want it to be good: %t", all, tt.good)
			}
			for _, d := range all {
				if d.Name != tt.property || d.Want == "" || d.Got == "" {
					t.Errorf("the difference does not say what differs: %+v", d)
				}
			}
		})
	}
}

func TestShareIsReadAsALimit(t *testing.T) {
	sent := []Property{{"MemoryHighScale", dbus.MakeVariant(uint32(1 << 30))}}
	for _, row := range []struct {
		got  uint64
		good bool
	}{{1 << 20, true}, {math.MaxUint64, false}} {
		all := Differences(sent, map[string]dbus.Variant{"MemoryHigh": dbus.MakeVariant(row.got)})
		if (len(all) == 0) != row.good {
			t.Errorf("MemoryHigh %d: got %v", row.got, all)
		}
	}
}

// TestEverySentPropertyIsCompared wants each property of a whole unit to be
// missed, but for those that cannot be read, and what nobody sent to be unwanted.
func TestEverySentPropertyIsCompared(t *testing.T) {
	for _, file := range []string{"testdata/full.json", "testdata/minimal.json"} {
		h := host
		h.Systemd = 257
		u, err := From(decide(t, testPolicy(t), file), h)
		if err != nil {
			t.Fatal(err)
		}
		missed := Differences(u.Intended(), nil)
		is := func(name string) bool {
			return slices.ContainsFunc(missed, func(d Difference) bool { return d.Name == name })
		}
		for _, p := range u.Properties() {
			if is(p.Name) == slices.Contains(notRead, p.Name) {
				t.Errorf("%s: %s: missed %t", file, p.Name, is(p.Name))
			}
		}
		for name := range strings.FieldsSeq(`ExecCondition ExecStartPre ExecStartPost ExecReload ExecStop ExecStopPost ExecStartEx PAMName Delegate
			Group AmbientCapabilities SupplementaryGroups RootImage MountImages ExtensionImages ExtensionDirectories
			LoadCredential LoadCredentialEncrypted SetCredential SetCredentialEncrypted ImportCredential OpenFile
			NetworkNamespacePath IPCNamespacePath DeviceAllow IPAddressAllow SocketBindAllow ExecPaths ReadWritePaths`) {
			if !is(name) {
				t.Errorf("%s: a value of %s would not be seen", file, name)
			}
		}
	}
}

// TestNothingIsCompared: each property that must have no value is no difference
// without one, and is one with any.
func TestNothingIsCompared(t *testing.T) {
	for _, p := range nothing {
		sent := []Property{p.Property}
		if all := Differences(sent, map[string]dbus.Variant{p.Name: p.Value}); len(all) != 0 {
			t.Errorf("nothing is a difference: %v", all)
		}
		var some any
		switch v := reflect.ValueOf(p.Value.Value()); v.Kind() {
		case reflect.Slice:
			some = reflect.MakeSlice(v.Type(), 1, 1).Interface()
		case reflect.String:
			some = "/x"
		case reflect.Bool:
			some = true
		default:
			some = uint64(1)
		}
		if p.Name == "IPAddressAllow" {
			some = [][]any{{int32(2), []byte{10, 0, 0, 0}, uint32(8)}}
		}
		if all := Differences(sent, map[string]dbus.Variant{p.Name: dbus.MakeVariant(some)}); len(all) != 1 {
			t.Errorf("%s: %v is no difference", p.Name, some)
		}
	}
}
