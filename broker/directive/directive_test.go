// SPDX-License-Identifier: MPL-2.0

package directive_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"nomad-systemd-driver/broker/directive"
)

func lookup(t testing.TB, name string) *directive.Directive {
	t.Helper()
	d, ok := directive.Lookup(name)
	if !ok {
		t.Fatalf("there is no directive %s", name)
	}
	return d
}

func TestTableIsWhole(t *testing.T) {
	closed := []directive.Class{directive.Lifecycle, directive.Manager, directive.Code}
	last := ""
	for _, d := range directive.All() {
		if d.Name <= last {
			t.Errorf("%s comes after %s, or twice", d.Name, last)
		}
		last = d.Name
		if d.Summary == "" || len(d.Buses) == 0 || !slices.Contains(directive.Classes(), d.Class) || d.Group == "" {
			t.Errorf("the row of %s is not whole: %+v", d.Name, d)
		}
		if d.Since != 0 && d.Since <= 252 {
			t.Errorf("%s: systemd 252 is the oldest there is", d.Name)
		}
		if d.Offered() != (d.Accepts() != "") {
			t.Errorf("%s: is offered: %t, but accepts %q", d.Name, d.Offered(), d.Accepts())
		}
		if d.Offered() && slices.Contains(closed, d.Class) {
			t.Errorf("%s is offered, but of the closed class %s", d.Name, d.Class)
		}
		if found, ok := directive.Lookup(d.Name); !ok || found != d {
			t.Errorf("Lookup does not find %s", d.Name)
		}
	}
}

// neverOffered reach other units, the host, or its files with the rights of root.
const neverOffered = `JoinsNamespaceOf Conflicts OnFailure OnSuccess FailureAction SuccessAction JobTimeoutAction Delegate
	StateDirectory CacheDirectory LogsDirectory RuntimeDirectory ConfigurationDirectory
	LoadCredential LoadCredentialEncrypted ImportCredential EnvironmentFile BindPaths BindReadOnlyPaths MountImages
	StandardInput StandardOutput StandardError OpenFile`

func TestRefusedDirectivesSayWhy(t *testing.T) {
	for name := range strings.FieldsSeq(neverOffered) {
		if lookup(t, name).Offered() {
			t.Errorf("%s is offered", name)
		}
	}
	for _, d := range directive.All() {
		if d.Offered() {
			continue
		}
		for name, err := range map[string]error{
			"Parse": func() error { _, err := d.Parse([]string{"yes"}); return err }(), "Tightens": d.Tightens(nil, []string{"yes"}),
		} {
			if err == nil || !strings.Contains(err.Error(), d.Name+" is refused: "+d.Refused) {
				t.Errorf("%s of %s gives %v", name, d.Name, err)
			}
		}
	}
}

// shape is a value as text: name, type and value.
func shape(values []directive.Value) string {
	var all []string
	for _, v := range values {
		s := fmt.Sprintf("%s=%s %v", v.Name, v.Value.Signature(), v.Value.Value())
		if v.Since != 0 {
			s += fmt.Sprintf(" since %d", v.Since)
		}
		all = append(all, s)
	}
	return strings.Join(all, "; ")
}

func TestParse(t *testing.T) {
	tests := []struct {
		name  string
		lines []string
		want  string
	}{
		{"NoNewPrivileges", []string{"YES"}, "NoNewPrivileges=b true"},
		{"NoNewPrivileges", []string{"yes", "off"}, "NoNewPrivileges=b false"},
		{"NoNewPrivileges", nil, ""},
		{"PrivateTmp", []string{"yes"}, "PrivateTmp=b true"},
		{"PrivateTmp", []string{"disconnected"}, "PrivateTmpEx=s disconnected since 257"},
		{"PrivateUsers", []string{"full"}, "PrivateUsersEx=s full since 258"},
		{"ProtectHome", []string{"on"}, "ProtectHome=s yes"},
		{"ProtectHome", []string{"tmpfs"}, "ProtectHome=s tmpfs"},
		{"MemoryMax", []string{"1.5G 512M"}, "MemoryMax=t 2147483648"},
		{"MemoryMax", []string{"infinity"}, "MemoryMax=t 18446744073709551615"},
		{"MemoryMax", []string{"50%"}, "MemoryMaxScale=u 2147483648"},
		{"MemoryMax", []string{""}, "MemoryMax=t 18446744073709551615"},
		{"MemoryLow", []string{""}, "MemoryLow=t 0"},
		{"MemoryZSwapMax", []string{"0"}, "MemoryZSwapMax=t 0"},
		{"TasksMax", []string{"12.34%"}, "TasksMaxScale=u 529998964 since 257"},
		{"CPUQuota", []string{"150%"}, "CPUQuotaPerSecUSec=t 1500000"},
		{"CPUQuota", []string{"0.01%"}, "CPUQuotaPerSecUSec=t 100 since 257"},
		{"CPUWeight", []string{"idle"}, "CPUWeight=t 0"},
		{"RuntimeMaxSec", []string{"1h 30min 1.5s"}, "RuntimeMaxUSec=t 5401500000"},
		{"TimerSlackNSec", []string{"50us"}, "TimerSlackNSec=t 50000"},
		{"LimitNOFILE", []string{"1024:4096"}, "LimitNOFILE=t 4096; LimitNOFILESoft=t 1024"},
		{"LimitCPU", []string{"1500ms"}, "LimitCPU=t 2; LimitCPUSoft=t 2"},
		{"LimitRTTIME", []string{"100"}, "LimitRTTIME=t 100; LimitRTTIMESoft=t 100"},
		{"LimitNICE", []string{"+10:-5"}, "LimitNICE=t 25; LimitNICESoft=t 10"},
		{"AllowedCPUs", []string{"0-1,3", "9"}, "AllowedCPUs=ay [11 2]"},
		{"AllowedCPUs", []string{"0", "", "1"}, "AllowedCPUs=ay [2]"},
		{"CPUAffinity", []string{"0", "numa"}, "CPUAffinityFromNUMA=b true"},
		{"CPUAffinity", []string{"0", "numa", "1"}, "CPUAffinity=ay [2]"},
		{"AmbientCapabilities", []string{"CAP_KILL", "cap_chown"}, "AmbientCapabilities=t 33"},
		{"CapabilityBoundingSet", []string{"~CAP_CHOWN"}, "CapabilityBoundingSet=t 2199023255550"},
		{"CapabilityBoundingSet", []string{""}, "CapabilityBoundingSet=t 0"},
		{"CapabilityBoundingSet", []string{"CAP_CHOWN CAP_KILL", "~CAP_KILL"}, "CapabilityBoundingSet=t 1"},
		{"RestrictNamespaces", []string{"yes"}, "RestrictNamespaces=t 0"},
		{"RestrictNamespaces", []string{"no"}, "RestrictNamespaces=t 2114060288"},
		{"RestrictNamespaces", []string{"~user"}, "RestrictNamespaces=t 1845624832"},
		{"RestrictNamespaces", []string{"user", "pid"}, "RestrictNamespaces=t 805306368"},
		{"RestrictAddressFamilies", []string{"AF_UNIX", "none"}, "RestrictAddressFamilies=(bas) {true []}"},
		{"SystemCallFilter", []string{"~@mount ptrace:EPERM", "", "read mseal"}, "SystemCallFilter=(bas) {false []}; SystemCallFilter=(bas) {true [read mseal]} since 253"},
		{"SystemCallErrorNumber", []string{"ENOSYS"}, "SystemCallErrorNumber=i 38"},
		{"SystemCallErrorNumber", []string{"kill"}, "SystemCallErrorNumber=i 2147483646"},
		{"IPAddressDeny", []string{"any"}, "IPAddressDeny=a(iayu) [{2 [0 0 0 0] 0} {10 [0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0] 0}]"},
		{"IPAddressAllow", []string{"10.0.0.0/8"}, "IPAddressAllow=a(iayu) [{2 [10 0 0 0] 8}]"},
		{"SocketBindAllow", []string{"ipv4:tcp:80-81"}, "SocketBindAllow=a(iiqq) [{2 6 2 80}]"},
		{"SocketBindDeny", []string{"any"}, "SocketBindDeny=a(iiqq) [{0 0 0 0}]"},
		{"DeviceAllow", []string{"/dev/null rw", "char-pts"}, "DeviceAllow=a(ss) [{/dev/null rw} {char-pts rwm}]"},
		{"IOReadBandwidthMax", []string{"/dev/sda 10M"}, "IOReadBandwidthMax=a(st) [{/dev/sda 10000000}]"},
		{"IODeviceLatencyTargetSec", []string{"/dev/sda 50ms"}, "IODeviceLatencyTargetUSec=a(st) [{/dev/sda 50000}]"},
		{"ManagedOOMMemoryPressureLimit", []string{"100%"}, "ManagedOOMMemoryPressureLimit=u 4294967295"},
		{"KillSignal", []string{"SIGRTMIN+3"}, "KillSignal=i 37"},
		{"SuccessExitStatus", []string{"TEMPFAIL 250", "SIGKILL"}, "SuccessExitStatus=(aiai) {[75 250] [9]}"},
		{"SuccessExitStatus", []string{""}, "SuccessExitStatus=(aiai) {[] []}"},
		{"UMask", []string{"077"}, "UMask=u 63"},
		{"CoredumpFilter", []string{"default", "private-dax"}, "CoredumpFilter=t 179"},
		{"SecureBits", []string{"keep-caps noroot"}, "SecureBits=i 17"},
		{"CPUSchedulingPolicy", []string{"batch"}, "CPUSchedulingPolicy=i 3"},
		{"IOSchedulingClass", []string{"idle"}, "IOSchedulingClass=i 3"},
		{"NUMAPolicy", []string{"interleave"}, "NUMAPolicy=i 3"},
		{"SyslogFacility", []string{"local3"}, "SyslogFacility=i 19"},
		{"AppArmorProfile", []string{"-my//profile"}, "AppArmorProfile=(bs) {true my//profile}"},
		{"ReadOnlyPaths", []string{"/a -+/b", "/c"}, "ReadOnlyPaths=as [/a -+/b /c]"},
		{"ReadOnlyPaths", []string{"/a", "", "/c"}, "ReadOnlyPaths=as []; ReadOnlyPaths=as [/c]"},
		{"ExecSearchPath", []string{"/usr/bin:/bin"}, "ExecSearchPath=as [/usr/bin /bin]"},
		{"TemporaryFileSystem", []string{"/a:size=1M,ro"}, "TemporaryFileSystem=a(ss) [{/a size=1M,ro}]"},
		{"UnsetEnvironment", []string{"A B=1 A", "A B"}, "UnsetEnvironment=as [A B=1 B]"},
		{"TemporaryFileSystem", []string{"/a:size=10M,nostrictatime"}, "TemporaryFileSystem=a(ss) [{/a size=10M,nostrictatime}]"},
		{"ProtectHostname", []string{"yes"}, "ProtectHostname=b true"},
		{"ProtectHostname", []string{"no", "private"}, "ProtectHostnameEx=(ss) {private } since 258"},
		{"ProtectHostname", []string{"yes:web-1.example"}, "ProtectHostnameEx=(ss) {yes web-1.example} since 258"},
		{"LogFilterPatterns", []string{"~a.*b"}, "LogFilterPatterns=a(bs) [{false a.*b}]"},
		{"SyslogIdentifier", []string{" my program "}, "SyslogIdentifier=s my program"},
	}
	for _, test := range tests {
		t.Run(test.name+"="+strings.Join(test.lines, "|"), func(t *testing.T) {
			values, err := lookup(t, test.name).Parse(test.lines)
			if err != nil || shape(values) != test.want {
				t.Errorf("got %s, %v\nwant %s", shape(values), err, test.want)
			}
		})
	}
}

func TestParseErrorsHelp(t *testing.T) {
	tests := []struct{ name, value, want string }{
		{"ProtectHome", "maybe", `ProtectHome: "maybe" has the unknown value "maybe"; accepted: one of no, read-only, tmpfs, yes; or a boolean`},
		{"ProtectHome", "tmpf", `did you mean "tmpfs"?`},
		{"ProtectHome", "", "ProtectHome must not be empty; accepted:"},
		{"SystemCallFilter", "~ptraec", `did you mean "ptrace"?`},
		{"SystemCallFilter", "read:EPERM", "has an error for a system call that is allowed"},
		{"CapabilityBoundingSet", "CAP_NET_BINDSERVICE", `did you mean "CAP_NET_BIND_SERVICE"?`},
		{"RestrictAddressFamilies", "AF_INTE6", `did you mean "AF_INET6"?`},
		{"MemoryMax", "lots", "is not a size"},
		{"MemoryMax", "0", "must not be 0"},
		{"MemoryMax", "150%", "is out of range"},
		{"TasksMax", "100%", "is out of range"},
		{"TasksMax", "", "must not be empty"},
		{"ExecSearchPath", "/usr/bin /bin", "with colons between them"},
		{"SystemCallErrorNumber", "0", "must not be 0"},
		{"TemporaryFileSystem", "/a:size=101%", "has a %"},
		{"TemporaryFileSystem", "/a%t:size=1M", "has a %"},
		{"ProtectHostname", "no:web", "is not a boolean"},
		{"ProtectHostname", "yes:", "is no host name"},
		{"ProtectHostname", "yes:-web", "is no host name"},
		{"ManagedOOMMemoryPressureLimit", "101%", "is more than 100%"},
		{"StartupMemoryMax", "10%", "is not of this form"},
		{"AllowedCPUs", "3-1", "lower end above its upper end"},
		{"AllowedCPUs", "8192", "is more than 8191"},
		{"LimitNOFILE", "5:4", "soft limit above the hard one"},
		{"Nice", "20", "is not from -20 to 19"},
		{"RuntimeMaxSec", "1.5us", "part of a millisecond"},
		{"IOReadBandwidthMax", "/etc/shadow 1M", "by a path in /dev"},
		{"SyslogFacility", "auth", "has the unknown value"},
		{"TemporaryFileSystem", "/a:suid", "mount option other than"},
		{"SELinuxContext", "-x:y:z", "is not of this form"},
		{"SyslogIdentifier", "x%n", "starts a specifier"},
		{"SyslogIdentifier", "x\nUser=root", "control character U+000A"},
		{"SyslogIdentifier", `x\`, "ends in a backslash"},
		{"SyslogIdentifier", strings.Repeat("x", 17<<10), "more than 16384"},
	}
	for _, test := range tests {
		t.Run(test.name+"="+test.value[:min(len(test.value), 20)], func(t *testing.T) {
			_, err := lookup(t, test.name).Parse([]string{"", test.value}[1:])
			var e *directive.Error
			if !errors.As(err, &e) || e.Directive != test.name || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestEveryDirectiveTakesSomethingAndNotAnything(t *testing.T) {
	for _, d := range offered() {
		if n := len(accepted(d, corpus())); n == 0 || n == len(corpus()) {
			t.Errorf("%s takes %d of %d values", d.Name, n, len(corpus()))
		}
	}
}

// TestNoValueLeavesItsLine is about PID 1's unit file, where some values are
// written as they are.
func TestNoValueLeavesItsLine(t *testing.T) {
	for _, d := range offered() {
		for _, value := range hostile {
			values, err := d.Parse([]string{value})
			if err != nil {
				continue
			}
			checkValues(t, d, []string{value}, values)
			if strings.ContainsAny(value, "\n\r\x00\t") || strings.HasSuffix(strings.TrimSpace(value), `\`) {
				t.Errorf("%s takes %q", d.Name, value)
			}
		}
		for _, c := range accepted(d, corpus()) {
			checkValues(t, d, c.lines, c.values)
		}
	}
}

func TestNearest(t *testing.T) {
	tests := map[string]string{
		"ProtectHom": "ProtectHome", "protecthome": "ProtectHome", "MemroyMax": "MemoryMax", "NoNewPriviliges": "NoNewPrivileges",
		"CapabilityBoundSet": "CapabilityBoundingSet", "LimitNoFile": "LimitNOFILE", "ReadonlyPath": "ReadOnlyPaths",
		"": "", "Frobnicate": "", "x": "",
	}
	for name, want := range tests {
		if got, ok := directive.Nearest(name); got != want || ok != (want != "") {
			t.Errorf("Nearest(%q) = %q, %t, want %q", name, got, ok, want)
		}
	}
}

func TestTightens(t *testing.T) {
	tests := []struct {
		name         string
		base, values []string
		ok           bool
	}{
		{"NoNewPrivileges", nil, []string{"yes"}, true},
		{"NoNewPrivileges", nil, []string{"no"}, true},
		{"NoNewPrivileges", []string{"yes"}, []string{"true"}, true},
		{"NoNewPrivileges", []string{"yes"}, []string{"no"}, false},
		{"NoNewPrivileges", []string{"yes"}, []string{"no", "yes"}, true},
		{"NoNewPrivileges", []string{"yes"}, nil, true},
		{"ProtectHome", []string{"tmpfs"}, []string{"yes"}, true},
		{"ProtectHome", []string{"tmpfs"}, []string{"read-only"}, false},
		{"ProtectControlGroups", []string{"yes"}, []string{"private"}, false},
		{"ProtectControlGroups", []string{"private"}, []string{"strict"}, true},
		{"ProtectHostname", []string{"yes"}, []string{"yes:web"}, true},
		{"ProtectHostname", []string{"yes"}, []string{"private:web"}, false},
		{"ProtectHostname", []string{"private"}, []string{"on"}, true},
		{"ProtectSystem", nil, []string{"full"}, true},
		{"ProtectProc", []string{"invisible"}, []string{"default"}, false},
		{"KeyringMode", nil, []string{"shared"}, false},
		{"DevicePolicy", []string{"closed"}, []string{"strict"}, true},
		{"DevicePolicy", []string{"closed"}, []string{"auto"}, false},
		{"CapabilityBoundingSet", nil, []string{"CAP_KILL"}, true},
		{"CapabilityBoundingSet", []string{"CAP_KILL"}, []string{"CAP_CHOWN"}, false},
		{"CapabilityBoundingSet", []string{"CAP_KILL"}, []string{"", "CAP_KILL"}, true},
		{"CapabilityBoundingSet", []string{"CAP_KILL CAP_CHOWN"}, []string{"~CAP_CHOWN"}, true},
		{"CapabilityBoundingSet", []string{"CAP_KILL"}, []string{"~"}, false},
		{"AmbientCapabilities", nil, []string{"CAP_KILL"}, false},
		{"AmbientCapabilities", []string{"CAP_KILL"}, []string{""}, true},
		{"RestrictNamespaces", nil, []string{"user"}, true},
		{"RestrictNamespaces", []string{"yes"}, []string{"user"}, false},
		{"RestrictNamespaces", []string{"user pid"}, []string{"~pid"}, true},
		{"RestrictNamespaces", []string{"yes"}, []string{""}, false},
		{"RestrictAddressFamilies", nil, []string{"AF_UNIX"}, true},
		{"RestrictAddressFamilies", []string{"AF_UNIX AF_INET"}, []string{"~AF_INET"}, true},
		{"RestrictAddressFamilies", []string{"AF_UNIX"}, []string{"AF_INET"}, false},
		{"RestrictAddressFamilies", []string{"AF_UNIX"}, []string{"", "~AF_INET"}, false},
		{"RestrictAddressFamilies", []string{"~AF_PACKET"}, []string{"~AF_ALG"}, true},
		{"RestrictAddressFamilies", []string{"~AF_PACKET"}, []string{"AF_PACKET"}, false},
		{"RestrictAddressFamilies", []string{"~AF_PACKET"}, []string{"", "AF_UNIX"}, true},
		{"RestrictAddressFamilies", []string{"AF_UNIX"}, []string{"none"}, true},
		{"RestrictAddressFamilies", []string{"none"}, []string{"~AF_UNIX"}, false},
		{"RestrictAddressFamilies", []string{"none"}, []string{"AF_UNIX"}, false},
		{"RestrictAddressFamilies", []string{"AF_UNIX"}, []string{"~AF_UNIX", "~AF_INET"}, true},
		{"RestrictNetworkInterfaces", []string{"lo eth0"}, []string{"~eth0"}, true},
		{"RestrictNetworkInterfaces", []string{"lo"}, []string{"~lo"}, false},
		{"RestrictNetworkInterfaces", []string{"~eth0"}, []string{"", "eth0alias"}, false},
		{"RestrictNetworkInterfaces", nil, []string{"~eth0"}, true},
		{"RestrictAddressFamilies", []string{"~AF_UNIX"}, []string{"", "AF_LOCAL"}, false},
		{"SystemCallFilter", nil, []string{"@system-service"}, true},
		{"SystemCallFilter", []string{"@system-service"}, []string{"~@resources"}, true},
		{"SystemCallFilter", []string{"@system-service"}, []string{"mount"}, false},
		{"SystemCallFilter", []string{"~@mount"}, []string{"", "~@swap"}, false},
		{"SystemCallFilter", []string{"~@mount"}, []string{"~@swap"}, true},
		{"SystemCallArchitectures", []string{"native x86"}, []string{"", "native"}, true},
		{"SystemCallArchitectures", []string{"native"}, []string{"x86"}, false},
		{"IPAddressDeny", []string{"10.0.0.0/8"}, []string{"any"}, true},
		{"IPAddressDeny", []string{"any"}, []string{"", "10.0.0.0/8"}, false},
		{"IPAddressAllow", nil, []string{"localhost"}, false},
		{"IPAddressAllow", []string{"10.0.0.0/8"}, []string{"", "10.1.0.0/16"}, true},
		{"IPAddressAllow", []string{"10.1.0.0/16"}, []string{"10.0.0.0/8"}, false},
		{"SocketBindDeny", nil, []string{"any"}, true},
		{"SocketBindDeny", []string{"any"}, []string{""}, false},
		{"SocketBindAllow", []string{"tcp:80-90"}, []string{"", "ipv4:tcp:85"}, true},
		{"SocketBindAllow", []string{"tcp:80"}, []string{"udp:80"}, false},
		{"InaccessiblePaths", []string{"/a"}, []string{"/b"}, true},
		{"InaccessiblePaths", []string{"/a"}, []string{"", "/b"}, false},
		{"ExecPaths", []string{"/a"}, []string{"/b"}, false},
		{"ExecPaths", []string{"/a"}, []string{""}, true},
		{"MemoryMax", nil, []string{"1G"}, true},
		{"MemoryMax", []string{"1G"}, []string{"512M"}, true},
		{"MemoryMax", []string{"1G"}, []string{"2G"}, false},
		{"MemoryMax", []string{"1G"}, []string{"1%"}, false},
		{"MemoryMax", []string{"10%"}, []string{"1K"}, false},
		{"MemoryMax", nil, []string{"10%"}, true},
		{"MemoryMin", nil, []string{"1M"}, false},
		{"MemoryMin", nil, []string{"1%"}, false},
		{"StartupMemoryMax", nil, []string{"1G"}, false},
		{"StartupMemoryMax", []string{"2G"}, []string{"1G"}, true},
		{"StartupAllowedCPUs", nil, []string{"0"}, false},
		{"MemorySwapMax", []string{"1G"}, []string{"0"}, true},
		{"TasksMax", []string{"10"}, []string{"infinity"}, false},
		{"CPUQuota", []string{"100%"}, []string{"50%"}, true},
		{"CPUQuota", []string{"100%"}, []string{""}, false},
		{"LimitNOFILE", nil, []string{"10"}, false},
		{"LimitNOFILE", []string{"100:200"}, []string{"50:200"}, true},
		{"LimitNOFILE", []string{"100:200"}, []string{"150:200"}, false},
		{"LimitNOFILE", []string{"100:200"}, []string{"100:201"}, false},
		{"IOReadBandwidthMax", nil, []string{"/dev/sda 1M"}, false},
		{"IOReadBandwidthMax", []string{"/dev/sda 1M"}, []string{"/dev/sda 500K"}, true},
		{"IOReadBandwidthMax", []string{"/dev/sda 1M"}, []string{"/dev/sda 2M"}, false},
		{"IOReadBandwidthMax", []string{"/dev/sda 1M"}, []string{"/dev/sdb 2M"}, false},
		{"IOReadBandwidthMax", []string{"/dev/sda 1M"}, []string{""}, false},
		{"DeviceAllow", nil, []string{"/dev/null r"}, false},
		{"DeviceAllow", []string{"/dev/null rw"}, []string{"", "/dev/null r"}, true},
		{"DeviceAllow", []string{"/dev/null r"}, []string{"/dev/null w"}, false},
		{"Nice", nil, []string{"5"}, true},
		{"Nice", nil, []string{"-5"}, false},
		{"Nice", []string{"5"}, []string{"+5"}, true},
		{"OOMScoreAdjust", []string{"100"}, []string{"50"}, false},
		{"UMask", nil, []string{"077"}, true},
		{"UMask", []string{"077"}, []string{"022"}, false},
		{"CPUWeight", nil, []string{"10000"}, true},
		{"CPUWeight", []string{"100"}, []string{"200"}, false},
		{"CPUWeight", []string{"100"}, []string{"100"}, true},
		{"CPUSchedulingPolicy", nil, []string{"batch"}, true},
		{"CPUSchedulingPolicy", nil, []string{"fifo"}, false},
		{"AllowedCPUs", []string{"0-3"}, []string{"", "1"}, true},
		{"AllowedCPUs", []string{"0-3"}, []string{"4"}, false},
		{"AllowedCPUs", []string{"0-3"}, []string{""}, false},
		{"SyslogIdentifier", nil, []string{"x"}, false},
		{"SyslogIdentifier", []string{"x"}, []string{"x"}, true},
		{"TemporaryFileSystem", []string{"/a"}, []string{"/b"}, false},
		{"MemoryMax", []string{"1G"}, []string{"nonsense"}, false},
		{"MemoryMax", []string{"nonsense"}, []string{"1G"}, false},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s=%q then %q", test.name, test.base, test.values), func(t *testing.T) {
			if err := lookup(t, test.name).Tightens(test.base, test.values); (err == nil) != test.ok {
				t.Errorf("got %v, want it allowed: %t", err, test.ok)
			}
		})
	}
}

// TestTightensIsAnOrder checks what holds of each order: nothing loosens nothing,
// and what may be added can be parsed together with what it is added to.
func TestTightensIsAnOrder(t *testing.T) {
	for _, d := range offered() {
		cases := accepted(d, corpus())
		for i, c := range cases {
			if err := d.Tightens(c.lines, nil); err != nil {
				t.Errorf("%s: adding nothing is refused: %v", c, err)
			}
			next := cases[(i+1)%len(cases)].lines
			if d.Tightens(c.lines, next) != nil {
				continue
			}
			both := slices.Concat(c.lines, next)
			if _, err := d.Parse(both); err != nil {
				t.Errorf("%s: %q may be added, but not parsed: %v", c, next, err)
			}
		}
	}
}
