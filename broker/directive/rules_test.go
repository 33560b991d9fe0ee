// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"strings"
	"testing"
)

func TestSettingsKeepToWhatIsForced(t *testing.T) {
	for _, tt := range []struct{ name, lines, want string }{
		{"NoNewPrivileges", "yes", ""},
		{"NoNewPrivileges", "no", "NoNewPrivileges=yes for every unit"},
		{"ProtectSystem", "full", "ProtectSystem=strict for every unit"},
		{"AmbientCapabilities", "CAP_NET_BIND_SERVICE", ""},
		{"AmbientCapabilities", "CAP_SYS_ADMIN", "as good as root"},
		{"AmbientCapabilities", "~CAP_KILL", "as good as root"},
		{"MemoryMax", "1G", "a field of their own"},
		{"ExecStartPre", "/bin/true", "is refused"},
		{"ProtectHome", "maybe", "accepted:"},
	} {
		d, ok := Lookup(tt.name)
		if !ok {
			t.Fatalf("%s is not in the table", tt.name)
		}
		_, err := d.Settings([]string{tt.lines})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s=%s: got %v, want %q", tt.name, tt.lines, err, tt.want)
		}
	}
}

func TestRulesNameDirectivesOfTheTable(t *testing.T) {
	for name := range reserved {
		if d, ok := Lookup(name); !ok || !d.Offered() {
			t.Errorf("%s is not in the table", name)
		}
	}
	for _, names := range []map[string]string{forced, needs} {
		for name := range names {
			if d, ok := Lookup(name); !ok || !d.Offered() {
				t.Errorf("%s is not in the table", name)
			}
		}
	}
	for name := range raising {
		if d, ok := Lookup(name); !ok || !d.Offered() {
			t.Errorf("%s is not in the table", name)
		}
	}
	for _, name := range harmless {
		if _, ok := capabilityNumbers[name]; !ok {
			t.Errorf("%s is no capability", name)
		}
	}
}

func TestClassOfAValue(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		want       Class
	}{
		{"Nice", "5", Resource},
		{"Nice", "-5", Priority},
		{"CPUSchedulingPolicy", "batch", Resource},
		{"CPUSchedulingPolicy", "fifo", Priority},
		{"OOMScoreAdjust", "-1", Priority},
		{"LimitMEMLOCK", "1", Priority},
		{"MemoryMin", "1G", Priority},
		{"PrivateNetwork", "no", Safe},
	} {
		d, _ := Lookup(tt.name)
		if got := d.ClassOf([]string{tt.line}); got != tt.want {
			t.Errorf("%s=%s is of class %s, want %s", tt.name, tt.line, got, tt.want)
		}
	}
}
