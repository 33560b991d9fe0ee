// SPDX-License-Identifier: MPL-2.0

package doctor

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"nomad-systemd-driver/broker/inspect"
	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
)

func (h *Host) checkPolicy(context.Context) Finding {
	if h.PolicyError != nil {
		return bad("correct it, then: systemd-brokerd policy check && systemctl reload systemd-brokerd", "%v", h.PolicyError)
	}
	if len(h.Policy.Clients()) == 0 {
		return bad("write a client block, or install the policy of the package again", "the policy has no client: everything is denied")
	}
	return good("the policy can be loaded, sha256 %.12s", h.Policy.SHA256())
}

// checkSocket: the unit listens, and nobody has the permissions in shut.
func (h *Host) checkSocket(ctx context.Context, unit, path string, shut fs.FileMode) Finding {
	if h.Systemd == nil {
		return skipped(noSystemd)
	}
	d, err := inspect.ReadDaemon(ctx, h.Systemd, unit)
	if err != nil {
		return bad("see systemctl status "+unit, "%v", err)
	}
	if !d.Loaded {
		return bad("install the package systemd-brokerd", "there is no unit %s", unit)
	}
	if d.State != systemd.Active {
		return bad("systemctl enable "+unit+" && systemctl restart "+inspect.Service, "%s is %s", unit, d.State)
	}
	info, err := h.stat(path)
	if err != nil {
		return bad("systemctl stop "+inspect.Service+" "+unit+" && systemctl start "+inspect.Service, "%s listens, but not at %s: %v", unit, path, err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if mode := info.Mode().Perm(); info.Mode().Type() != fs.ModeSocket || !ok || owner.Uid != h.rootUID() || mode&shut != 0 {
		return bad("remove what changes it: systemctl cat "+unit, "%s is open to others (mode %v)", path, info.Mode())
	}
	if !d.Enabled {
		return warning("systemctl enable "+unit, "%s is not started at boot", unit)
	}
	return good("%s listens", path)
}

// checkMounts: the service that makes mounts for the broker runs when it is asked.
func (h *Host) checkMounts(ctx context.Context) Finding {
	if h.Systemd == nil {
		return skipped(noSystemd)
	}
	d, err := inspect.ReadDaemon(ctx, h.Systemd, inspect.MountService)
	switch {
	case err != nil:
		return bad("see systemctl status "+inspect.MountService, "%v", err)
	case !d.Loaded:
		return bad("install the package systemd-brokerd", "there is no unit %s", inspect.MountService)
	case d.Failing():
		return bad("journalctl -u "+inspect.MountService+" says why; then systemctl restart "+inspect.MountSocket,
			"%s fails: no unit can be started", inspect.MountService)
	case d.Stale:
		return warning("systemctl daemon-reload && systemctl restart "+inspect.MountService, "its unit has changed on disk since systemd read it")
	case d.Restarts > 0:
		return warning("journalctl -u "+inspect.MountService+" says why", "%s ended by itself %d times", inspect.MountService, d.Restarts)
	}
	return good("%s is %s: it is started when it is needed", inspect.MountService, d.State)
}

// rootUID is root's; in tests files belong to whoever runs them.
func (h *Host) rootUID() uint32 {
	if h.Root == "" {
		return 0
	}
	return uint32(syscall.Getuid()) //nolint:gosec // a uid
}

func (h *Host) checkBroker(ctx context.Context) Finding {
	if h.Systemd == nil {
		return skipped(noSystemd)
	}
	d, err := inspect.ReadDaemon(ctx, h.Systemd, inspect.Service)
	switch {
	case err != nil:
		return bad("see systemctl status "+inspect.Service, "%v", err)
	case !d.Loaded:
		return bad("install the package systemd-brokerd", "there is no unit %s", inspect.Service)
	case d.State != systemd.Active:
		return bad("systemctl start "+inspect.Service+"; if it does not start, journalctl -u systemd-brokerd says why", "the broker is %s", d.State)
	case d.Stale:
		return warning("systemctl daemon-reload && systemctl restart systemd-brokerd", "its unit has changed on disk since systemd read it")
	case d.Restarts > 0:
		return warning("journalctl -p warning -u systemd-brokerd says why", "the broker runs, but ended by itself %d times", d.Restarts)
	case !d.Enabled:
		return warning("systemctl enable "+inspect.Service, "the broker runs, but is not started at boot: ended tasks are reported late")
	}
	return good("the broker runs, pid %d", d.PID)
}

func (h *Host) checkInForce(ctx context.Context) Finding {
	if h.Systemd == nil || h.PolicyError != nil {
		return skipped("there is no policy to compare with")
	}
	d, err := inspect.ReadDaemon(ctx, h.Systemd, inspect.Service)
	if err != nil || d.State != systemd.Active {
		return skipped("the broker does not run")
	}
	if !strings.Contains(d.Text, h.InForce) {
		return warning("systemctl reload systemd-brokerd", "the broker says %q: the policy on disk is another", d.Text)
	}
	return good("the policy on disk is in force")
}

// checkClients: who the policy names can connect, and is nobody special.
func (h *Host) checkClients(context.Context) Finding {
	if h.PolicyError != nil {
		return skipped("the policy cannot be loaded")
	}
	info, err := h.stat("/run/systemd-brokerd/broker.sock")
	if err != nil {
		return skipped("there is no socket to connect to")
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return skipped("the socket's group is not known")
	}
	var names []string
	for _, c := range h.Policy.Clients() {
		names = append(names, c.Name)
		if c.User == "" {
			continue // a number: nothing is known of its groups
		}
		user, err := h.Users.User(c.User)
		if err != nil {
			return bad("create the user, or correct the policy", "client %q: %v", c.Name, err)
		}
		if !inGroup(user, owner.Gid) {
			return bad(fmt.Sprintf("usermod -a -G GROUP %s, with the group %d of the socket, and restart its agent", c.User, owner.Gid),
				"client %q: user %s cannot connect to the socket", c.Name, c.User)
		}
		if group, ok := h.powerful(user); ok {
			return bad("gpasswd -d "+c.User+" "+group, "client %q: user %s is in group %s, which is as good as root: the policy protects nothing",
				c.Name, c.User, group)
		}
	}
	return good("%s can connect", strings.Join(names, ", "))
}

// powerfulGroups make their members root in one step, or nearly.
var powerfulGroups = []string{"root", "docker", "incus", "incus-admin", "lxd", "libvirt", "disk", "shadow", "sudo", "wheel", "adm", "kvm"}

func (h *Host) powerful(u policy.User) (string, bool) {
	for _, name := range powerfulGroups {
		if gid, err := h.Users.Group(name); err == nil && inGroup(u, gid) {
			return name, true
		}
	}
	return "", false
}

func inGroup(u policy.User, gid uint32) bool {
	return u.GID == gid || slices.ContainsFunc(u.Groups, func(g policy.Group) bool { return g.GID == gid })
}
