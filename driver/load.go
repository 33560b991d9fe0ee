// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"io/fs"
	"strconv"

	"nomad-systemd-driver/cgroup"
)

// addLoad adds to a task's attributes what Nomad's statistics have no place for.
func (d *Driver) addLoad(t *task, attributes map[string]string) {
	group := t.group()
	if group == "" || t.exit() != nil {
		return
	}
	l, err := d.cgroups.Load(group)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			d.log.Debug("a task's attributes are incomplete", "task", t.config.ID, "error", err)
		}
		return
	}
	count := func(key string, c cgroup.Count) {
		if c.OK {
			attributes[key] = strconv.FormatUint(c.N, 10)
		}
	}
	count("pids", l.Pids)
	count("io.read_bytes", l.IO.ReadBytes)
	count("io.write_bytes", l.IO.WriteBytes)
	count("io.read_ops", l.IO.ReadOps)
	count("io.write_ops", l.IO.WriteOps)
	stall := func(key string, s cgroup.Stall) {
		if s.OK {
			attributes[key+".avg10"] = strconv.FormatFloat(s.Avg10, 'f', 2, 64)
			attributes[key+".total_us"] = strconv.FormatUint(s.Total, 10)
		}
	}
	for name, p := range map[string]cgroup.Pressure{"cpu": l.CPUStall, "memory": l.MemoryStall, "io": l.IOStall} {
		stall("pressure."+name+".some", p.Some)
		stall("pressure."+name+".full", p.Full)
	}
}
