// SPDX-License-Identifier: MPL-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"nomad-systemd-driver/broker/inspect"
	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
)

const (
	agentUnit  = "nomad.service"
	driverPath = "/usr/libexec/nomad/plugins/nomad-systemd-driver"
	migration  = "docs/migration.md says how to take a node off root"
)

// checkAllocRoots: the broker sees the directories, and strangers do not.
func (h *Host) checkAllocRoots(context.Context) Finding {
	if h.PolicyError != nil {
		return skipped("the policy cannot be loaded")
	}
	var roots []string
	for _, c := range h.Policy.Clients() {
		if f := h.checkAllocRoot(c); f.Result != Good {
			return f
		}
		roots = append(roots, c.AllocRoot)
	}
	return good("%s: of the right user, and closed to others", strings.Join(roots, ", "))
}

// hidden is what the broker's unit hides from it (ProtectHome=, PrivateTmp=).
var hidden = []string{"/home", "/root", "/run/user", "/tmp", "/var/tmp"}

func (h *Host) checkAllocRoot(c *policy.Client) Finding {
	for _, dir := range hidden {
		if strings.HasPrefix(c.AllocRoot+"/", dir+"/") {
			return bad("move the agent's data_dir, for example to /var/lib/nomad", "alloc_root %s of client %q is in %s, which the broker does not see", c.AllocRoot, c.Name, dir)
		}
	}
	closed := false
	for dir := c.AllocRoot; dir != "/"; dir = filepath.Dir(dir) {
		info, err := h.stat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the agent makes it with its first allocation
		}
		if err != nil {
			return skipped("alloc_root of client %q: %v", c.Name, err)
		}
		if info.Mode().Type() == fs.ModeSymlink {
			return bad("name the real path, in the policy and in the agent's configuration", "%s, of alloc_root of client %q, is a symlink: the broker follows none", dir, c.Name)
		}
		owner, ok := info.Sys().(*syscall.Stat_t)
		if dir == c.AllocRoot && ok && owner.Uid != c.UID {
			return bad(fmt.Sprintf("the policy's client and the agent must be one user: chown %d %s, or correct one of them", c.UID, dir),
				"alloc_root %s belongs to uid %d, and client %q is uid %d", dir, owner.Uid, c.Name, c.UID)
		}
		closed = closed || info.Mode().Perm()&0o001 == 0
	}
	if !closed {
		return warning("chmod 0700 "+filepath.Dir(c.AllocRoot), "every user of the host can look for secrets of jobs below %s", c.AllocRoot)
	}
	return good("")
}

// wanted properties of the agent's service, and why.
var wanted = []struct {
	name string
	is   func(any) bool
	says string
}{
	{"NoNewPrivileges", isTrue, "NoNewPrivileges=yes is missing: setuid programs would give it privileges"},
	{"CapabilityBoundingSet", func(v any) bool { return v == uint64(0) }, "its CapabilityBoundingSet= is not empty"},
	{"AmbientCapabilities", func(v any) bool { return v == uint64(0) }, "it has AmbientCapabilities="},
	{"KillMode", func(v any) bool { return v == "process" }, "without KillMode=process log lines are lost when it is restarted"},
	{"PrivateTmp", func(v any) bool { return v != true }, "with PrivateTmp=yes a restarted agent does not find its plugins"},
}

func isTrue(v any) bool { return v == true }

func serviceProperty(name string) systemd.Property {
	return systemd.Property{Interface: "Service", Name: name}
}

// checkAgentUnit reads the unit of a package or ours; others are not known.
func (h *Host) checkAgentUnit(ctx context.Context) Finding {
	if h.Systemd == nil {
		return skipped(noSystemd)
	}
	load, user := systemd.Property{Interface: "Unit", Name: "LoadState"}, serviceProperty("User")
	properties := []systemd.Property{load, user}
	for _, w := range wanted {
		properties = append(properties, serviceProperty(w.name))
	}
	v, err := h.Systemd.Properties(ctx, agentUnit, properties...)
	if err != nil {
		return bad("see systemctl status "+agentUnit, "%v", err)
	}
	if v[load] != systemd.LoadLoaded {
		return skipped("there is no %s: the agent is started otherwise", agentUnit)
	}
	if name, _ := v[user].(string); name == "" || name == "root" {
		return bad(migration, "%s runs as root: the broker protects nothing from it", agentUnit)
	}
	for _, w := range wanted {
		if value, ok := v[serviceProperty(w.name)]; ok && !w.is(value) {
			return warning("use the drop-in /usr/share/nomad-systemd-driver/unprivileged.conf", "%s: %s", agentUnit, w.says)
		}
	}
	return good("%s runs as %s, without privileges", agentUnit, v[user])
}

// checkAgent looks at the process itself.
func (h *Host) checkAgent(ctx context.Context) Finding {
	if h.Systemd == nil {
		return skipped(noSystemd)
	}
	d, err := inspect.ReadDaemon(ctx, h.Systemd, agentUnit)
	if err != nil || d.PID == 0 {
		return skipped("%s does not run", agentUnit)
	}
	text, err := h.read(fmt.Sprintf("/proc/%d/status", d.PID))
	if err != nil {
		return skipped("the agent cannot be looked at: %v", err)
	}
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		fields[key] = strings.TrimSpace(value)
	}
	if uid, _, _ := strings.Cut(fields["Uid"], "\t"); uid == "0" {
		return bad("systemctl restart nomad, after "+migration, "the agent, pid %d, is root", d.PID)
	}
	for _, set := range []string{"CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if strings.Trim(fields[set], "0") != "" {
			return warning("systemctl restart nomad, with the drop-in unprivileged.conf", "the agent, pid %d, has capabilities (%s %s)", d.PID, set, fields[set])
		}
	}
	return good("the agent, pid %d, has no privileges", d.PID)
}

func (h *Host) checkDriver(context.Context) Finding {
	info, err := h.stat(driverPath)
	if errors.Is(err, fs.ErrNotExist) {
		return warning("install the package nomad-systemd-driver; elsewhere, set plugin_dir", "there is no %s", driverPath)
	}
	if err != nil {
		return skipped("%v", err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid != h.rootUID() || info.Mode().Perm()&0o022 != 0 {
		return bad("chown root:root "+driverPath+" && chmod 0755 "+driverPath, "%s can be changed by others than root", driverPath)
	}
	if info.Mode().Perm()&0o111 == 0 {
		return bad("chmod 0755 "+driverPath, "%s is not executable: the agent does not load it", driverPath)
	}
	return good("%s is in its place", driverPath)
}
