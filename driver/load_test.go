// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"maps"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
)

func TestAttributesOfATask(t *testing.T) {
	d := statsDriver(t)
	d.cgroups = "../cgroup/testdata"
	u := unitOf("web")
	u.ControlGroup = "/full"
	tk := d.add(newTask(&drivers.TaskConfig{ID: "web"}, u.GetHandle(), time.Now()))
	attributes := func() map[string]string {
		t.Helper()
		s, err := d.InspectTask("web")
		if err != nil {
			t.Fatal(err)
		}
		return s.DriverAttributes
	}
	none := attributes()
	tk.observe(u)
	want := map[string]string{
		"pids": "7", "io.read_bytes": "4214784", "io.write_bytes": "1060864", "io.read_ops": "133", "io.write_ops": "79",
		"pressure.cpu.some.avg10": "2.19", "pressure.cpu.some.total_us": "3300666234",
		"pressure.cpu.full.avg10": "0.00", "pressure.cpu.full.total_us": "0",
		"pressure.memory.some.avg10": "0.11", "pressure.memory.some.total_us": "93878645",
		"pressure.memory.full.avg10": "0.06", "pressure.memory.full.total_us": "45641171",
		"pressure.io.some.avg10": "100.00", "pressure.io.some.total_us": "160012345",
		"pressure.io.full.avg10": "99.99", "pressure.io.full.total_us": "158993101",
	}
	maps.Copy(want, none)
	if got := attributes(); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	tk.lose()
	if got := attributes(); !maps.Equal(got, none) {
		t.Errorf("a task that has ended has %v, want %v", got, none)
	}
}
