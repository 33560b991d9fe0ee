// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What a rule without the limit allows.
const (
	defaultTasksMax  = 4096
	defaultMemoryMax = 16 << 30
)

// The most that a rule can be given.
const (
	maxTasksMax  = 1 << 22 // the kernel's PID_MAX_LIMIT
	maxMemoryMax = 1 << 50
)

var (
	ruleSchema = schema{
		[]string{"capabilities", "client", "devices", "images", "log_drivers", "network", "profiles", "require_identity", "require_signature", "rootfs", "sessions"},
		[]string{"args", "directives", "env", "exec", "labels", "limits", "quotas", "run_as", "volumes"},
	}
	execSchema       = schema{attributes: []string{"under", "paths", "any"}}
	runAsSchema      = schema{attributes: []string{"dynamic_user", "groups", "session_users", "system_users", "users"}}
	directivesSchema = schema{attributes: []string{"classes", "names"}, blocks: []string{"values"}}
	envSchema        = schema{attributes: []string{"names"}}
	limitsSchema     = schema{attributes: []string{"cpu_percent", "cpu_weight", "credentials_max", "memory_max", "memory_unlimited", "tasks_max"}}

	sizePattern = regexp.MustCompile(`\A([1-9][0-9]{0,9})(KiB|MiB|GiB|TiB)\z`)
	sizeUnits   = map[string]uint64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
)

func (c *compiler) rule(name string, r *reader) {
	who := r.str("client", `"nomad"`)
	l := &rule{
		name:   name,
		file:   r.src.name,
		line:   r.src.lineOf(r.head.start),
		exec:   execOf(r.block("exec", execSchema)),
		runAs:  c.runAs(name, r.block("run_as", runAsSchema)),
		limits: limitsOf(r.block("limits", limitsSchema)),
		logs:   logDriversOf(r),

		files:   c.filesOf(r),
		volumes: c.volumesOf(r.block("volumes", volumesSchema)),

		profiles:     c.profilesOf(name, r),
		directives:   directivesOf(r.block("directives", directivesSchema)),
		capabilities: capabilitiesOf(r),
		env:          envOf(r.block("env", envSchema)),
		sessions:     r.boolean("sessions"),

		args:     argsOf(r.block("args", argsSchema)),
		networks: networksOf(r),
	}
	l.quota = quotaOf(r.block("quotas", quotasSchema), l.limits)
	if r.err != nil {
		return
	}
	cl := c.clients[who.text]
	if cl == nil {
		r.fail(who.at, "there is no client %q in the policy; add a client block, or correct the name", who.text)
		return
	}
	l.labels = labelsOf(r, cl.LabelPrefix())
	l.requireIdentity = identityOf(r, cl, l.labels)
	cl.rules = append(cl.rules, l)
}

func execOf(r *reader) execMatcher {
	if r == nil {
		return execMatcher{}
	}
	m := execMatcher{any: r.boolean("any")}
	for _, v := range r.list("under") {
		dir := r.path(v)
		if !slices.ContainsFunc(execRoots, func(root string) bool { return dir == root || below(root, dir) }) {
			r.fail(v.at, "%q is not /local, /alloc or /usr or below; a program elsewhere is listed by its path in exec.paths", dir)
		}
		m.under = append(m.under, dir)
	}
	for _, v := range r.list("paths") {
		m.paths = append(m.paths, r.path(v))
	}
	if listed := len(m.under)+len(m.paths) > 0; m.any == listed {
		r.fail(r.head, "%s needs either any = true, or under and paths", r.title)
	}
	return m
}

func (c *compiler) runAs(rule string, r *reader) runAsMatcher {
	if r == nil {
		return runAsMatcher{}
	}
	m := runAsMatcher{dynamic: r.boolean("dynamic_user"), users: map[string]User{}, groups: c.groups(rule, r)}
	users := r.list("users")
	for _, v := range users {
		u, ok := c.lookUp(r, v)
		if !ok {
			return m
		}
		if problem := c.underFloor(u); problem != "" {
			r.fail(v.at, "rule %q cannot let tasks run as %q: %s", rule, u.Name, problem)
		}
		c.trusted(r, u, v)
		m.users[u.Name] = u
	}
	system := r.boolean("system_users")
	for _, v := range users {
		if u := m.users[v.text]; SystemUser(u.UID) && !system {
			r.fail(v.at, "user %q is one of the system's own (uid %d), whose files and services are the host's; "+
				"write system_users = true beside users if it is meant, or name a user for tasks", u.Name, u.UID)
		}
	}
	m.managers = managersOf(rule, r, m.users)
	if !m.dynamic && len(m.users) == 0 {
		r.fail(r.head, "%s allows no user; write dynamic_user = true or users, or delete it", r.title)
	}
	return m
}

// SystemUser is whether a uid is not that of a person, or of tasks: login.defs(5) has
// them begin at 1000, and 65534 is nobody, who owns what has no owner.
func SystemUser(uid uint32) bool { return uid < 1000 || uid == 65534 }

// underFloor says why no rule may let a unit run as u, or "".
func (c *compiler) underFloor(u User) string {
	if u.UID == 0 {
		return "it is root (uid 0), and no task ever is"
	}
	if u.UID == 65535 || u.UID > 1<<31-1 {
		return fmt.Sprintf("uid %d is no user's, but an error to many programs", u.UID)
	}
	gids := []uint32{u.GID}
	for _, g := range u.Groups {
		gids = append(gids, g.GID)
	}
	for _, gid := range gids {
		if group, ok := c.dangerous[gid]; ok {
			return fmt.Sprintf("it is in group %q (gid %d), whose members can take over the host or read what is others'; "+
				"remove it from the group, or name another user", group, gid)
		}
	}
	for _, cl := range c.clients {
		if u.UID == cl.UID {
			return fmt.Sprintf("it is the user of client %q, which would be as good as the client itself", cl.Name)
		}
		if gid, ok := c.clientGIDs[cl.Name]; ok && slices.Contains(gids, gid) {
			return fmt.Sprintf("it is in the group of client %q (gid %d), which can reach the broker and the client's files; "+
				"remove it from the group, or name another user", cl.Name, gid)
		}
	}
	return ""
}

func limitsOf(r *reader) limits {
	m := limits{memoryMax: defaultMemoryMax, tasksMax: defaultTasksMax, credentialsMax: maxCredentials}
	if r == nil {
		return m
	}
	m.memoryUnlimited = r.boolean("memory_unlimited")
	if r.has("memory_max") {
		m.memoryMax = r.size("memory_max")
		if m.memoryUnlimited {
			r.fail(r.at("memory_max"), "memory_max and memory_unlimited = true contradict each other; delete one")
		}
	}
	if r.has("credentials_max") {
		if m.credentialsMax = r.size("credentials_max"); m.credentialsMax > maxCredentials {
			r.fail(r.at("credentials_max"), "systemd takes at most 1MiB of credentials; write less, or delete it")
		}
	}
	if r.has("tasks_max") {
		m.tasksMax = r.number("tasks_max", "512", 1, maxTasksMax)
	}
	if r.has("cpu_percent") {
		m.cpuPercent = r.number("cpu_percent", "150", 1, maxCPUPercent)
	}
	if r.has("cpu_weight") {
		m.cpuWeight = r.number("cpu_weight", "100", 1, maxCPUWeight)
	}
	return m
}

// size is a number of bytes, written with a unit.
func (r *reader) size(name string) uint64 {
	v := r.str(name, `"2GiB"`)
	parts := sizePattern.FindStringSubmatch(v.text)
	if parts == nil {
		r.fail(v.at, `%q is not a size; write a whole number and KiB, MiB, GiB or TiB, such as "512MiB"`, v.text)
		return 0
	}
	n, err := strconv.ParseUint(parts[1], 10, 64)
	if unit := sizeUnits[parts[2]]; err != nil || n > maxMemoryMax/unit {
		r.fail(v.at, "%q is more than 1024TiB", v.text)
		return 0
	}
	return n * sizeUnits[parts[2]]
}

func logDriversOf(r *reader) []LogDriver {
	known := []LogDriver{LogFDs, LogJournal, LogNone}
	var drivers []LogDriver
	for _, v := range r.list("log_drivers") {
		d := LogDriver(v.text)
		if !slices.Contains(known, d) {
			r.fail(v.at, "%q is not a log driver; known: fds, journal, none", v.text)
		}
		drivers = append(drivers, d)
	}
	return drivers
}

// profilesOf are the profiles that a rule names, or else the default one.
func (c *compiler) profilesOf(rule string, r *reader) []*Profile {
	var all []*Profile
	for _, v := range r.list("profiles") {
		p := c.profiles[v.text]
		if p == nil {
			r.fail(v.at, "there is no profile %q; there are %s", v.text, strings.Join(slices.Sorted(maps.Keys(c.profiles)), ", "))
			return nil
		}
		all = append(all, p)
	}
	if len(all) > 0 {
		return all
	}
	if p := c.profiles[DefaultProfile]; p != nil {
		return []*Profile{p}
	}
	r.fail(r.head, "rule %q names no profile, and there is none called %q", rule, DefaultProfile)
	return nil
}
