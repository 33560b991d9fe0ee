// SPDX-License-Identifier: MPL-2.0

package directive_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"nomad-systemd-driver/broker/directive"
)

func TestTableIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range directive.All() {
		if seen[d.Name] {
			t.Errorf("%s is there twice", d.Name)
		}
		seen[d.Name] = true
		if d.Summary == "" || len(d.Buses) == 0 || !slices.Contains(directive.Classes, d.Class) {
			t.Errorf("%+v lacks something", d)
		}
		if got, ok := directive.Lookup(d.Name); !ok || got != d {
			t.Errorf("%s is not found", d.Name)
		}
		for _, b := range d.Buses {
			if b.Name == "" || b.Signature == "" {
				t.Errorf("%s has a property %+v", d.Name, b)
			}
		}
		if d.Refused != "" {
			continue
		}
		switch d.Class {
		case directive.Code, directive.Lifecycle, directive.Manager:
			t.Errorf("%s is of class %s and not refused", d.Name, d.Class)
		}
	}
	if len(seen) < 300 {
		t.Errorf("there are %d directives only", len(seen))
	}
}

// show is what would be sent, as text.
func show(values []directive.Value) string {
	var all []string
	for _, v := range values {
		s := fmt.Sprintf("%s %s", v.Name, v.Value)
		if v.Since != 0 {
			s += fmt.Sprintf(" (%d)", v.Since)
		}
		all = append(all, s)
	}
	return strings.Join(all, "; ")
}

func TestParse(t *testing.T) {
	for _, tt := range []struct{ name, lines, want string }{
		// Lines are separated by "|".
		{"ProtectHome", "tmpfs", `ProtectHome "tmpfs"`},
		{"ProtectHome", "on", `ProtectHome "yes"`},
		{"ProtectHome", "tmpfs|no", `ProtectHome "no"`},
		{"ProtectHome", "yes|", ""},
		{"ProtectSystem", "strict", `ProtectSystem "strict"`},
		{"PrivateTmp", "Yes", `PrivateTmp true`},
		{"PrivateTmp", "disconnected", `PrivateTmpEx "disconnected" (257)`},
		{"MemoryHigh", "1.5G", "MemoryHigh @t 1610612736"},
		{"MemoryHigh", "1G 512M", "MemoryHigh @t 1610612736"},
		{"MemoryHigh", "infinity", "MemoryHigh @t 18446744073709551615"},
		{"MemoryHigh", "50%", "MemoryHighScale @u 2147483647"},
		{"CPUQuota", "20%", "CPUQuotaPerSecUSec @t 200000"},
		{"CPUQuota", "150.5%", "CPUQuotaPerSecUSec @t 1505000"},
		{"CPUQuotaPeriodSec", "10ms", "CPUQuotaPeriodUSec @t 10000"},
		{"CPUQuotaPeriodSec", "1min 30s", "CPUQuotaPeriodUSec @t 90000000"},
		{"CPUQuotaPeriodSec", "0.25", "CPUQuotaPeriodUSec @t 250000"},
		{"TimerSlackNSec", "50", "TimerSlackNSec @t 50"},
		{"TimerSlackNSec", "1us", "TimerSlackNSec @t 1000"},
		{"LimitNOFILE", "1024:4096", "LimitNOFILE @t 4096; LimitNOFILESoft @t 1024"},
		{"LimitNOFILE", "infinity", "LimitNOFILE @t 18446744073709551615; LimitNOFILESoft @t 18446744073709551615"},
		{"LimitCPU", "1500ms", "LimitCPU @t 2; LimitCPUSoft @t 2"},
		{"LimitFSIZE", "10K", "LimitFSIZE @t 10240; LimitFSIZESoft @t 10240"},
		{"LimitNICE", "-5", "LimitNICE @t 25; LimitNICESoft @t 25"},
		{"CPUAffinity", "0 2-3|8", `CPUAffinity @ay [0xd, 0x1]`},
		{"CPUAffinity", "1||2", `CPUAffinity @ay [0x4]`},
		{"CPUAffinity", "numa", "CPUAffinityFromNUMA true"},
		{"NUMAPolicy", "bind", "NUMAPolicy 2"},
		{"CapabilityBoundingSet", "CAP_CHOWN kill", "CapabilityBoundingSet @t 33"},
		{"CapabilityBoundingSet", "~CAP_CHOWN", "CapabilityBoundingSet @t 2199023255550"},
		{"CapabilityBoundingSet", "", "CapabilityBoundingSet @t 0"},
		{"CapabilityBoundingSet", "CAP_CHOWN|CAP_KILL|~CAP_CHOWN", "CapabilityBoundingSet @t 32"},
		{"AmbientCapabilities", "CAP_NET_BIND_SERVICE", "AmbientCapabilities @t 1024"},
		{"RestrictNamespaces", "yes", "RestrictNamespaces @t 0"},
		{"RestrictNamespaces", "no", "RestrictNamespaces @t 2114060288"},
		{"RestrictNamespaces", "~user", "RestrictNamespaces @t 1845624832"},
		{"RestrictNamespaces", "user|net", "RestrictNamespaces @t 1342177280"},
		{"SystemCallFilter", "@system-service|~@privileged kexec_load:EPERM", `SystemCallFilter (true, ["@system-service"],); SystemCallFilter (false, ["@privileged", "kexec_load:EPERM"],)`},
		{"SystemCallFilter", "@sandbox", `SystemCallFilter (true, ["@sandbox"],) (257)`},
		{"SystemCallFilter", "read||write", `SystemCallFilter (true, ["write"],)`},
		{"SystemCallErrorNumber", "EPERM", "SystemCallErrorNumber 1"},
		{"SystemCallErrorNumber", "kill", "SystemCallErrorNumber 2147483646"},
		{"RestrictAddressFamilies", "AF_UNIX AF_INET", `RestrictAddressFamilies (true, ["AF_UNIX", "AF_INET"],)`},
		{"RestrictAddressFamilies", "none", `RestrictAddressFamilies @(bas) (true, [],)`},
		{"IPAddressDeny", "any", `IPAddressDeny @a(iayu) [(2, [0x0, 0x0, 0x0, 0x0], 0,), (10, [0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0], 0,)]`},
		{"IPAddressAllow", "10.1.2.3/8 192.168.1.1", `IPAddressAllow @a(iayu) [(2, [0xa, 0x0, 0x0, 0x0], 8,), (2, [0xc0, 0xa8, 0x1, 0x1], 32,)]`},
		{"SocketBindAllow", "ipv6:tcp:80-90|any|udp", `SocketBindAllow @a(iiqq) [(10, 6, 11, 80,), (0, 0, 0, 0,), (0, 17, 0, 0,)]`},
		{"DeviceAllow", "/dev/null rw|char-input", `DeviceAllow [("/dev/null", "rw",), ("char-input", "rwm",)]`},
		{"IOReadBandwidthMax", "/dev/vda 10M", `IOReadBandwidthMax @a(st) [("/dev/vda", 10000000,)]`},
		{"IODeviceWeight", "/dev/vda 200|/dev/vdb 5", `IODeviceWeight @a(st) [("/dev/vda", 200,), ("/dev/vdb", 5,)]`},
		{"ReadOnlyPaths", "/alloc -/opt|+/local", `ReadOnlyPaths ["/alloc", "-/opt", "+/local"]`},
		{"TemporaryFileSystem", "/var:size=10M,mode=0755 /opt:ro", `TemporaryFileSystem [("/var", "size=10M,mode=0755",), ("/opt", "ro",)]`},
		{"UMask", "0077", "UMask @u 63"},
		{"Nice", "-5", "Nice -5"},
		{"KillSignal", "SIGHUP", "KillSignal 1"},
		{"KillSignal", "RTMIN+3", "KillSignal 37"},
		{"SecureBits", "keep-caps noroot", "SecureBits 17"},
		{"CoredumpFilter", "default shared-dax", "CoredumpFilter @t 307"},
		{"AppArmorProfile", "-web", `AppArmorProfile (true, "web",)`},
		{"ExecSearchPath", "/usr/bin:/bin|/opt", `ExecSearchPath ["/usr/bin", "/bin", "/opt"]`},
		{"SyslogFacility", "local3", "SyslogFacility 19"},
		{"ManagedOOMMemoryPressureLimit", "10%", "ManagedOOMMemoryPressureLimit @u 429496729"},
	} {
		t.Run(tt.name+"="+tt.lines, func(t *testing.T) {
			d, ok := directive.Lookup(tt.name)
			if !ok {
				t.Fatal("it is not in the table")
			}
			values, err := d.Parse(strings.Split(tt.lines, "|"))
			if got := show(values); err != nil || got != tt.want {
				t.Errorf("got %s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ name, line, want string }{
		{"ProtectHome", "tempfs", "did you mean tmpfs?"},
		{"ProtectSystem", "full", "ProtectSystem=strict for every unit"},
		{"NoNewPrivileges", "no", "NoNewPrivileges=yes for every unit"},
		{"NoNewPrivileges", "maybe", "neither yes nor no"},
		{"MemoryHigh", "10Q", "is not a size"},
		{"MemoryHigh", "1M 1G", "is not a size"},
		{"MemoryHigh", "-1", "is not a size"},
		{"MemoryHigh", "101%", "up to 100%"},
		{"MemoryHigh", "99999999E", "too large"},
		{"CPUQuota", "0%", "more than 0%"},
		{"CPUQuota", "20", "such as 20%"},
		{"CPUQuotaPeriodSec", "ten", "is not a time span"},
		{"CPUQuotaPeriodSec", "1.2.3", "is not a time span"},
		{"LimitNOFILE", "10:5", "soft limit above the hard"},
		{"LimitNICE", "0", "nice level"},
		{"CPUAffinity", "3-1", "ranges"},
		{"CPUAffinity", "9000", "up to 8191"},
		{"CapabilityBoundingSet", "CAP_NET_BIND_SERVCE", "did you mean net_bind_service?"},
		{"AmbientCapabilities", "CAP_SYS_ADMIN", "as good as root"},
		{"AmbientCapabilities", "~", "as good as root"},
		{"RestrictNamespaces", "time", "none of yes, no, cgroup"},
		{"SystemCallFilter", "opnat", "did you mean openat?"},
		{"SystemCallFilter", "@system-servce", "did you mean @system-service?"},
		{"SystemCallFilter", "read:EPERM", "in a line that denies"},
		{"SystemCallFilter", "~read:ENOPE", "error number"},
		{"SystemCallFilter", "~", "names nothing"},
		{"RestrictAddressFamilies", "AF_INTE", "did you mean AF_"},
		{"IPAddressDeny", "10.0.0.0/33", "which is not an address"},
		{"SocketBindAllow", "tcp:0", "FROM-TO"},
		{"SocketBindAllow", "sctp:80", "FROM-TO"},
		{"DeviceAllow", "/etc/passwd r", "below /dev"},
		{"DeviceAllow", "/dev/null x", "made of r, w and m"},
		{"DeviceAllow", "/dev/../etc/shadow r", "below /dev"},
		{"IOReadBandwidthMax", "/dev/vda", "a space and a value"},
		{"ReadOnlyPaths", "alloc", "absolute path"},
		{"ReadOnlyPaths", "/a/../b", "absolute path"},
		{"TemporaryFileSystem", "/var:uid=0", "the option uid=0"},
		{"UMask", "1000", "octal"},
		{"KillSignal", "SIGNONE", "is not a signal"},
		{"Restart", "always", "cannot be set"},
		{"ExecStartPre", "/bin/true", "cannot be set"},
		{"MemoryMax", "1G", "field of its own"},
	} {
		t.Run(tt.name+"="+tt.line, func(t *testing.T) {
			d, ok := directive.Lookup(tt.name)
			if !ok {
				t.Fatal("it is not in the table")
			}
			values, err := d.Parse([]string{tt.line})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), tt.name+": ") {
				t.Errorf("got %s, %v\nwant an error with %q", show(values), err, tt.want)
			}
		})
	}
}

// TestNothingHostileIsTaken: whatever directive, whatever stands before it.
func TestNothingHostileIsTaken(t *testing.T) {
	starts := []string{"", "yes", "/a", "1", "1G", "read", "AF_UNIX", "-/a", "web", "SIGTERM", "/dev/null r", "strict", "10%", "~read"}
	ends := []string{"\nExecStopPost=+/bin/id", "\r", "\x00", `\`, "%H", "%%", "\x7f", "\xff", `"`, "'", "\u2028\n", "\x1b[0m"}
	for _, d := range directive.All() {
		for _, start := range starts {
			for _, end := range ends {
				if values, err := d.Parse([]string{start + end}); err == nil {
					t.Errorf("%s=%q is taken: %s", d.Name, start+end, show(values))
				}
				if values, err := d.Parse([]string{"", start + " " + end + " "}); err == nil {
					t.Errorf("%s=%q is taken: %s", d.Name, start+" "+end, show(values))
				}
			}
		}
	}
}

func TestTightens(t *testing.T) {
	for _, tt := range []struct {
		name, base, next string // lines; "-" for none
		want             bool
	}{
		{"PrivateNetwork", "-", "yes", true},
		{"PrivateNetwork", "yes", "no", false},
		{"PrivateNetwork", "yes", "yes", true},
		{"PrivateNetwork", "no", "yes", true},
		{"PrivateNetwork", "yes", "", false},
		{"ProtectHome", "read-only", "yes", true},
		{"ProtectHome", "yes", "read-only", false},
		{"ProtectHome", "yes", "on", true},
		{"ProtectHome", "yes", "", false},
		{"PrivateTmp", "yes", "disconnected", true},
		{"PrivateTmp", "disconnected", "yes", false},
		{"CapabilityBoundingSet", "-", "CAP_CHOWN", true},
		{"CapabilityBoundingSet", "CAP_CHOWN CAP_KILL", "~CAP_KILL", true},
		{"CapabilityBoundingSet", "CAP_CHOWN", "CAP_KILL", false},
		{"CapabilityBoundingSet", "CAP_CHOWN", "", true}, // no capability is left
		{"AmbientCapabilities", "-", "CAP_KILL", false},
		{"RestrictNamespaces", "-", "yes", true},
		{"RestrictNamespaces", "yes", "no", false},
		{"RestrictNamespaces", "yes", "user", false},
		{"SystemCallFilter", "@system-service", "~@privileged", true},
		{"SystemCallFilter", "@system-service", "@mount", false},
		{"SystemCallFilter", "~@mount", "read", false},
		{"SystemCallFilter", "-", "@system-service|~@privileged", true},
		{"SystemCallFilter", "-", "@system-service|@mount", false},
		{"SystemCallFilter", "@system-service", "", false},
		{"RestrictAddressFamilies", "AF_UNIX", "none", true},
		{"RestrictAddressFamilies", "none", "AF_UNIX", false},
		{"IPAddressDeny", "any", "", false},
		{"IPAddressDeny", "-", "any", true},
		{"IPAddressAllow", "-", "any", false},
		{"LimitNOFILE", "1024", "512", true},
		{"LimitNOFILE", "1024", "2048", false},
		{"LimitNOFILE", "-", "2048", false},
		{"MemoryHigh", "1G", "512M", true},
		{"MemoryHigh", "1G", "infinity", false},
		{"MemoryHigh", "1G", "10%", false},
		{"CPUQuota", "-", "20%", true},
		{"UMask", "0022", "0077", true},
		{"UMask", "0077", "0022", false},
		{"Nice", "-", "5", false},
		{"Nice", "5", "5", true},
		{"DeviceAllow", "-", "/dev/null r", false},
		{"ReadOnlyPaths", "/alloc", "/local", true},
		{"InaccessiblePaths", "/alloc", "", false},
	} {
		t.Run(fmt.Sprintf("%s %s then %s", tt.name, tt.base, tt.next), func(t *testing.T) {
			d, ok := directive.Lookup(tt.name)
			if !ok {
				t.Fatal("it is not in the table")
			}
			var base []string
			if tt.base != "-" {
				base = strings.Split(tt.base, "|")
			}
			if err := d.Tightens(base, strings.Split(tt.next, "|")); (err == nil) != tt.want {
				t.Errorf("got %v, want %t", err, tt.want)
			}
		})
	}
}

func TestClassOf(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		want       directive.Class
	}{
		{"Nice", "5", directive.Resource},
		{"Nice", "-5", directive.Priority},
		{"CPUSchedulingPolicy", "batch", directive.Resource},
		{"CPUSchedulingPolicy", "fifo", directive.Priority},
		{"OOMScoreAdjust", "-1", directive.Priority},
		{"LimitMEMLOCK", "1", directive.Priority},
		{"MemoryMin", "1G", directive.Priority},
		{"PrivateNetwork", "no", directive.Safe},
	} {
		d, _ := directive.Lookup(tt.name)
		if got := d.ClassOf([]string{tt.line}); got != tt.want {
			t.Errorf("%s=%s is of class %s, want %s", tt.name, tt.line, got, tt.want)
		}
	}
}

func TestNearest(t *testing.T) {
	for in, want := range map[string]string{"ProtectHostame": "ProtectHostname", "protectsystem": "ProtectSystem", "Memoryhigh": "MemoryHigh", "XQZW": ""} {
		if got, _ := directive.Nearest(in); got != want {
			t.Errorf("%s is like %q, want %q", in, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, d := range directive.All() {
		f.Add(d.Name, "yes")
	}
	for _, s := range []string{"1G 5", "~@mount read:EPERM", "ipv4:tcp:1-2", "/a:ro,size=1", "10.0.0.0/8 any", "1min 2.5s", "0-3,8", "1:infinity", "/dev/sda 10%"} {
		f.Add("MemoryHigh", s)
	}
	f.Fuzz(func(t *testing.T, name, line string) {
		d, ok := directive.Lookup(name)
		if !ok {
			return
		}
		values, err := d.Parse(strings.Split(line, "|"))
		if err != nil {
			return
		}
		for _, v := range values {
			if !slices.ContainsFunc(d.Buses, func(b directive.Bus) bool { return b.Name == v.Name && b.Signature == v.Value.Signature().String() }) {
				t.Errorf("%s=%q gives %s of %s, which the table does not have", name, line, v.Name, v.Value.Signature())
			}
			if text := v.Value.String(); strings.ContainsAny(text, "\n\r\x00") || strings.Contains(text, `\\`) {
				t.Errorf("%s=%q gives %q", name, line, text)
			}
		}
	})
}

func TestMerge(t *testing.T) {
	d, _ := directive.Lookup("RestrictAddressFamilies")
	for lines, want := range map[string]string{
		"AF_UNIX AF_INET|AF_INET6|~AF_INET": `RestrictAddressFamilies (true, ["AF_UNIX", "AF_INET6"],)`,
		"~AF_PACKET|~AF_NETLINK":            `RestrictAddressFamilies (false, ["AF_PACKET", "AF_NETLINK"],)`,
	} {
		values, err := d.Parse(strings.Split(lines, "|"))
		if err != nil {
			t.Fatal(err)
		}
		if got := show(directive.Merge(values)); got != want {
			t.Errorf("%s: got %s, want %s", lines, got, want)
		}
	}
}
