// SPDX-License-Identifier: MPL-2.0

package unitpath

import (
	"testing"

	"github.com/godbus/dbus/v5"
)

func TestOfIsWhatSystemdUses(t *testing.T) {
	tests := []struct{ unit, path string }{
		{"cron.service", "cron_2eservice"},
		{"nomad-web-0a1b.service", "nomad_2dweb_2d0a1b_2eservice"},
		{"-.slice", "_2d_2eslice"},
		{"1st.service", "_31st_2eservice"},
		{"a_b@c:d\\x2d.service", "a_5fb_40c_3ad_5cx2d_2eservice"},
		{"\u00fc.service", "_c3_bc_2eservice"},
		{"", "_"},
	}
	for _, test := range tests {
		want := dbus.ObjectPath(prefix + test.path)
		if got := Of(test.unit); got != want {
			t.Errorf("Of(%q) = %s, want %s", test.unit, got, want)
		}
		if got, ok := Unit(want); !ok || got != test.unit {
			t.Errorf("Unit(%s) = %q, %t; want %q", want, got, ok, test.unit)
		}
	}
}

func TestUnitRefusesPathsThatOfDoesNotMake(t *testing.T) {
	for _, label := range []string{"", "a_", "a_2", "a_2g", "a_2Dx", "a_61", "1a", "a-b", "a/b", "__", "_5", "a__"} {
		if got, ok := Unit(dbus.ObjectPath(prefix + label)); ok {
			t.Errorf("Unit of label %q = %q, want a refusal", label, got)
		}
	}
	for _, path := range []dbus.ObjectPath{"", "/", "/org/freedesktop/systemd1", "/org/freedesktop/systemd1/job/1"} {
		if got, ok := Unit(path); ok {
			t.Errorf("Unit(%s) = %q, want a refusal", path, got)
		}
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("cron.service")
	f.Add("")
	f.Add("_")
	f.Add("9\x00\xff_2d")
	f.Fuzz(func(t *testing.T, unit string) {
		path := Of(unit)
		if !path.IsValid() {
			t.Errorf("Of(%q) = %q is no object path", unit, path)
		}
		if got, ok := Unit(path); !ok || got != unit {
			t.Errorf("Unit(Of(%q)) = %q, %t", unit, got, ok)
		}
		if got, ok := Unit(dbus.ObjectPath(prefix + unit)); ok && Of(got) != dbus.ObjectPath(prefix+unit) {
			t.Errorf("two paths stand for %q", got)
		}
	})
}
