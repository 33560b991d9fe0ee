// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"slices"

	"nomad-systemd-driver/broker/directive"
)

// This file is about tasks in the control group of their user's own service manager
// (user@UID.service). They can talk to that manager, which starts any program of the
// user's choice without a sandbox or a limit: whoever may run one has all that the user
// can do. And what is kept by the control group of a unit is not kept for them.

// managersOf are the users of a rule in whose managers its tasks may run.
func managersOf(rule string, r *reader, users map[string]User) map[string]bool {
	all := map[string]bool{}
	for _, v := range r.list("session_users") {
		u, ok := users[v.text]
		switch {
		case !ok:
			r.fail(v.at, "%q is not in users of rule %q; add it there too", v.text, rule)
		case SystemUser(u.UID):
			r.fail(v.at, "rule %q cannot let tasks run in the service manager of %q: uid %d is a user of the system, not a person's", rule, u.Name, u.UID)
		}
		all[v.text] = true
	}
	return all
}

func managerAllowed(_ *client, l *rule, r *Request) bool {
	return !r.UserManager || l.runAs.managers[r.User]
}

func managerDenied(c *client, _ *rule, r *Request) *Denial {
	return &Denial{
		Subject: "user session", Value: r.User,
		Reason: fmt.Sprintf("no rule of policy client %q lets a task run in this user's own service manager; "+
			`leave session unset, or ask the operator to add the user to run_as.session_users of a rule`, c.Name),
	}
}

// managerHas are directives of control groups that a user's manager has the means for,
// see Delegate= of user@.service: they are passed on to it.
var managerHas = []string{
	"CPUQuota", "CPUQuotaPeriodSec", "CPUWeight", "MemoryHigh", "MemoryLow", "MemoryMax", "MemoryMin", "MemorySwapMax", "TasksMax",
}

// managerIgnores are directives of control groups that are the second lock of what holds
// without: there are no devices in /dev, and no task makes one.
var managerIgnores = []string{"DevicePolicy", "IPAccounting"}

// noManager is whether a directive is kept by the unit's control group, or hides the
// user's manager.
func noManager(name string) bool {
	d, ok := directive.Lookup(name)
	return ok && d.Group == "cgroup" || name == "RestrictFileSystems" || name == "ProtectHome"
}

// lost is the first directive of the profile or the request that a task in its user's
// manager would not have, and the profile's name if it is of that.
func lost(p *Profile, r *Request) (name, profile string) {
	kept := slices.Concat(managerHas, managerIgnores)
	isLost := func(d Directive) bool { return noManager(d.Name) && !slices.Contains(kept, d.Name) }
	if i := slices.IndexFunc(p.Directives, isLost); i >= 0 {
		return p.Directives[i].Name, p.Name
	}
	if i := slices.IndexFunc(r.Directives, isLost); i >= 0 {
		return r.Directives[i].Name, ""
	}
	return "", ""
}

func managerTakes(_ *client, l *rule, r *Request) bool {
	p := l.profile(r)
	if !r.UserManager || p == nil { // profileAllowed says it
		return true
	}
	name, _ := lost(p, r)
	return name == ""
}

func managerTakesNot(_ *client, l *rule, r *Request) *Denial {
	name, profile := lost(l.profile(r), r)
	if profile != "" {
		return &Denial{
			Subject: "profile", Value: profile,
			Reason: fmt.Sprintf("it has %s, which does not go with a user's own service manager; choose another profile, or leave session unset", name),
		}
	}
	return &Denial{
		Subject: "directive", Value: name,
		Reason: "it does not go with a user's own service manager; leave it out, or leave session unset",
	}
}

// managerLimits are the lines that are passed on to the user's manager.
func managerLimits(p *Profile, r *Request) []Directive {
	return slices.DeleteFunc(slices.Concat(p.Directives, r.Directives), func(d Directive) bool { return !slices.Contains(managerHas, d.Name) })
}
