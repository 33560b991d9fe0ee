// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"reflect"
	"testing"

	"github.com/godbus/dbus/v5"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// bootOn is boot on a host with so many CPUs.
func (w *world) bootOn(cpus ...uint32) {
	w.t.Helper()
	w.cpus = cpus
	w.stop()
	w.boot(w.policy())
}

func (w *world) startOn(id string, cpus ...uint32) *brokerv1.Unit {
	w.t.Helper()
	spec := w.spec(id)
	spec.Resources.Cpus = cpus
	resp, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: spec})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetUnit()
}

// lastCPUs waits for the n-th change of CPUs, and returns its unit and mask.
func (w *world) lastCPUs(n int) (unit string, mask []byte) {
	w.t.Helper()
	if err := w.pid1.AwaitCalls(w.ctx(), "SetUnitProperties", n); err != nil {
		w.t.Fatalf("the CPUs of units were changed fewer than %d times: %v", n, err)
	}
	args := w.pid1.Calls("SetUnitProperties")[n-1].Args
	unit, ok := args[0].(string)
	properties, ok2 := args[2].([][]any)
	if !ok || !ok2 || args[1] != true || len(properties) != 1 || properties[0][0] != "AllowedCPUs" {
		w.t.Fatalf("PID 1 was asked with %v", args)
	}
	value, ok := properties[0][1].(dbus.Variant)
	if mask, ok2 = value.Value().([]byte); !ok || !ok2 {
		w.t.Fatalf("PID 1 was asked with %v", args)
	}
	return unit, mask
}

func TestUnitsKeepOffTheCPUsOfOthers(t *testing.T) {
	w := newWorld(t)
	w.bootOn(0, 1, 2, 3)
	shared := w.startOn("a/1").GetHandle().GetUnit()
	if u, _ := w.pid1.Unit(shared); u.Started["AllowedCPUs"] != nil {
		t.Errorf("a unit alone on the host starts with the CPUs %v", u.Started["AllowedCPUs"])
	}
	own := w.startOn("a/2", 1, 3).GetHandle().GetUnit()
	if unit, mask := w.lastCPUs(1); unit != shared || !reflect.DeepEqual(mask, []byte{0b0101}) {
		t.Errorf("%s got the CPUs %b, want %s on 0 and 2", unit, mask, shared)
	}
	later := w.startOn("a/3").GetHandle().GetUnit()
	if u, _ := w.pid1.Unit(later); !reflect.DeepEqual(u.Started["AllowedCPUs"], []byte{0b0101}) {
		t.Errorf("a later unit starts with the CPUs %v, want 0 and 2", u.Started["AllowedCPUs"])
	}
	w.pid1.Exit(own, 0)
	got := make(map[string][]byte)
	for n := 2; n <= 3; n++ {
		unit, mask := w.lastCPUs(n)
		got[unit] = mask
	}
	if want := map[string][]byte{shared: {}, later: {}}; !reflect.DeepEqual(got, want) {
		t.Errorf("after the end of the unit with CPUs of its own the others get %v, want %v", got, want)
	}
}

func TestNextBrokerKnowsWhoseCPUsTheyAre(t *testing.T) {
	w := newWorld(t)
	w.bootOn(0, 1)
	w.startOn("a/1", 1)
	before := w.startOn("a/2").GetHandle().GetUnit()
	w.confined = []uint32{0}
	w.bootOn(0, 1)
	later := w.startOn("a/3").GetHandle().GetUnit()
	if u, _ := w.pid1.Unit(later); !reflect.DeepEqual(u.Started["AllowedCPUs"], []byte{1}) {
		t.Errorf("the unit starts with the CPUs %v, want 0", u.Started["AllowedCPUs"])
	}
	if n := len(w.pid1.Calls("SetUnitProperties")); n != 0 {
		t.Errorf("units that are where they belong were moved, %d times", n)
	}
	// While no broker ran, the unit with CPUs of its own ended.
	w.confined = []uint32{0, 1}
	w.bootOn(0, 1)
	if unit, mask := w.lastCPUs(1); unit != before && unit != later || !reflect.DeepEqual(mask, []byte{1}) {
		t.Errorf("%s got the CPUs %b, want %s or %s on 0", unit, mask, before, later)
	}
}

func TestNoUnitStaysWithoutACPU(t *testing.T) {
	w := newWorld(t)
	w.bootOn(0, 1)
	w.startOn("a/1", 0, 1)
	u := w.startOn("a/2").GetHandle().GetUnit()
	if u, _ := w.pid1.Unit(u); u.Started["AllowedCPUs"] != nil {
		t.Errorf("the unit starts with the CPUs %v, want none to be named", u.Started["AllowedCPUs"])
	}
}

func TestParseCPUList(t *testing.T) {
	tests := []struct {
		list string
		want []uint32
		ok   bool
	}{
		{"0", []uint32{0}, true},
		{"0-2,5", []uint32{0, 1, 2, 5}, true},
		{"1,3", []uint32{1, 3}, true},
		{"", nil, true},
		{"a", nil, false},
		{"2-1", nil, false},
		{"-1", nil, false},
		{"0-", nil, false},
		{"0,,1", nil, false},
		{"9999", nil, false},
		{"4294967296", nil, false},
	}
	for _, tt := range tests {
		got, err := parseCPUList(tt.list)
		if !reflect.DeepEqual(got, tt.want) || (err == nil) != tt.ok {
			t.Errorf("%q: got %v, %v, want %v", tt.list, got, err, tt.want)
		}
	}
}

func FuzzParseCPUList(f *testing.F) {
	f.Add("0-2,5")
	f.Fuzz(func(t *testing.T, list string) {
		cpus, err := parseCPUList(list)
		if err != nil {
			return
		}
		if again, err := parseCPUList(formatCPUList(cpus)); err != nil || !reflect.DeepEqual(again, cpus) {
			t.Errorf("%q is %v, and that is %v, %v", list, cpus, again, err)
		}
	})
}
