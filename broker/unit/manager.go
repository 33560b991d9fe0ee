// SPDX-License-Identifier: MPL-2.0

package unit

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/policy"
)

// A unit in the service manager of its user is PID 1's in all but one thing. Its
// program begins as systemd-run(1), as the user and inside the unit's sandbox, which
// asks the user's manager for a scope, is moved into that by PID 1 (which lets a user
// move processes of its own to where it manages them), and executes what was asked for.
// The process stays PID 1's child: its exit status, its signals and its log are as ever.

const (
	systemdRun = "/usr/bin/systemd-run"
	systemctl  = "/usr/bin/systemctl"
	// managerSlice holds what users' managers run (systemd.special(7)).
	managerSlice = "app.slice"
	// expandsSince is the version of systemd-run that began to expand variables in
	// arguments unless told otherwise.
	expandsSince = 254
)

// ManagerPrograms are those of the host that a unit in its user's manager needs.
var ManagerPrograms = []string{systemdRun, systemctl}

// RuntimeDir is the directory of a user's manager, which only root can put in its place.
func RuntimeDir(uid uint32) string { return "/run/user/" + id(uid) }

// ManagerEnvironment is how programs find the manager of their user.
func ManagerEnvironment(uid uint32) map[string]string {
	dir := RuntimeDir(uid)
	return map[string]string{"XDG_RUNTIME_DIR": dir, "DBUS_SESSION_BUS_ADDRESS": "unix:path=" + dir + "/bus"}
}

// ScopeGroup is the control group of a unit in the manager of a user, below that of
// all. It is the user's to write to.
func ScopeGroup(uid uint32, unit string) string {
	return fmt.Sprintf("/user.slice/user-%d.slice/%s/%s/%s", uid, managerUnit(uid), managerSlice, scopeOf(unit))
}

func managerUnit(uid uint32) string { return "user@" + id(uid) + ".service" }

func scopeOf(unit string) string { return strings.TrimSuffix(unit, suffix) + ".scope" }

// scoped is the command line that executes argv in a scope of the user's manager.
func scoped(d *policy.Decision, h Host, unit string, argv []string) []string {
	run := []string{
		systemdRun, "--user", "--scope", "--quiet", "--collect",
		"--unit=" + scopeOf(unit), "--slice=" + managerSlice, "--description=" + description(d, unit),
	}
	if h.Systemd >= expandsSince {
		run = append(run, "--expand-environment=no")
	}
	limit := func(name, value string) { run = append(run, "--property="+name+"="+value) }
	r := d.Request().Resources
	limit("TasksMax", id64(d.TasksMax()))
	if r.CPUWeight != 0 {
		limit("CPUWeight", id64(r.CPUWeight))
	}
	if r.MemoryLow != 0 {
		limit("MemoryLow", id64(r.MemoryLow))
	}
	if !r.MemoryUnlimited {
		limit("MemoryMax", id64(r.MemoryMax))
	}
	limits, _ := d.UserManager()
	for _, l := range limits {
		for _, line := range l.Lines {
			limit(l.Name, line)
		}
	}
	return append(append(run, "--"), argv...)
}

func id64(n uint64) string { return strconv.FormatUint(n, 10) }

// managed are the properties of a unit in its user's manager beside its command line.
// Wants=, not Requires=: when the manager ends, the program ends with it, and the
// unit stays to tell how.
func managed(uid uint32) []Property {
	manager := []string{managerUnit(uid)}
	return []Property{
		{"Wants", dbus.MakeVariant(manager)},
		{"After", dbus.MakeVariant(manager)},
	}
}

// Ending is the unit that has the user's manager kill what a unit left in its scope. It
// runs as the user, and nothing in it is a client's choice. It is gone when it has ended.
func Ending(uid uint32, of string) *Unit {
	kill := []string{systemctl, "--user", "kill", "--signal=SIGKILL", "--kill-whom=all", scopeOf(of)}
	u := &Unit{name: strings.TrimSuffix(of, suffix) + "-end" + suffix}
	dir := RuntimeDir(uid)
	u.add(
		str("Description", "ends what is left of "+of),
		str("Type", "oneshot"),
		str("CollectMode", "inactive-or-failed"),
		Property{"TimeoutStartUSec", dbus.MakeVariant(uint64(10_000_000))},
		Property{"ExecStart", dbus.MakeVariant([]exec{{systemctl, kill, true}})},
		Property{"Environment", dbus.MakeVariant([]string{"XDG_RUNTIME_DIR=" + dir})},
		str("User", id(uid)),
		str("StandardInput", "null"), str("StandardOutput", "null"), str("StandardError", "journal"),
		boolean("PrivateNetwork", true), boolean("PrivateTmp", true), str("ProtectHome", "read-only"),
		Property{"CapabilityBoundingSet", dbus.MakeVariant(uint64(0))},
	)
	u.add(floor...)
	return u
}
