// SPDX-License-Identifier: MPL-2.0

package inspect

import (
	"context"
	"fmt"

	"nomad-systemd-driver/broker/systemd"
)

// Names of the units that make a broker.
const (
	Service     = "systemd-brokerd.service"
	APISocket   = "systemd-brokerd.socket"
	FDSocket    = "systemd-brokerd-fds.socket"
	MountSocket = "systemd-brokerd-mounts.socket"
	// MountService is started by its socket, when the broker asks for a mount.
	MountService = "systemd-brokerd-mounts.service"
)

// Sockets are those without which no unit can be started.
var Sockets = []string{APISocket, FDSocket, MountSocket}

// Daemon is the state of a service, by default the broker's own.
type Daemon struct {
	Unit   string `json:"unit"`
	Loaded bool   `json:"loaded"` // PID 1 has or finds the unit
	State  string `json:"state"`  // active, inactive, failed, …
	Text   string `json:"text"`   // what it says of itself (STATUS=)
	PID    uint32 `json:"pid,omitempty"`
	// Restarts is how often it ended by itself and was started again.
	Restarts uint32 `json:"restarts"`
	// Enabled: it is started at boot.
	Enabled bool `json:"enabled"`
	// Stale: the unit's files have changed, and PID 1 has not read them again.
	Stale  bool    `json:"stale"`
	Memory *uint64 `json:"memory_bytes,omitempty"`
}

// Failing reports whether it has failed, or ends again and again, and waits for another try.
func (d *Daemon) Failing() bool {
	return d.State == systemd.Failed || d.Restarts > 0 && d.State == systemd.Activating
}

func unitProperty(name string) systemd.Property {
	return systemd.Property{Interface: "Unit", Name: name}
}

func serviceProperty(name string) systemd.Property {
	return systemd.Property{Interface: "Service", Name: name}
}

// ReadDaemon reads the state of a service.
func ReadDaemon(ctx context.Context, sd Systemd, unit string) (*Daemon, error) {
	load, active, stale := unitProperty("LoadState"), unitProperty("ActiveState"), unitProperty("NeedDaemonReload")
	file := unitProperty("UnitFileState")
	text, pid, restarts := serviceProperty("StatusText"), serviceProperty("MainPID"), serviceProperty("NRestarts")
	memory := serviceProperty("MemoryCurrent")
	v, err := sd.Properties(ctx, unit, load, active, stale, file, text, pid, restarts, memory)
	if err != nil {
		return nil, fmt.Errorf("cannot read the state of %s: %w", unit, err)
	}
	d := &Daemon{Unit: unit, Loaded: v[load] == systemd.LoadLoaded, Enabled: v[file] == "enabled"}
	d.State, _ = v[active].(string)
	d.Text, _ = v[text].(string)
	d.PID, _ = v[pid].(uint32)
	d.Restarts, _ = v[restarts].(uint32)
	d.Stale, _ = v[stale].(bool)
	if n, ok := v[memory].(uint64); ok && n != ^uint64(0) && d.PID != 0 {
		d.Memory = &n
	}
	return d, nil
}
