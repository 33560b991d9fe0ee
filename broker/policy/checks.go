// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// check is one question a rule is asked about a request. accept answers it;
// explain words a refusal.
type check struct {
	accept  func(*client, *rule, *Request) bool
	explain func(*client, *rule, *Request) *Denial
}

// checks are all questions, in the order in which they are asked. Parts of a
// request that no check looks at are free: most of the environment, names and the
// working directory work with the rights of the unit's own user inside its own view; a CPU
// weight counts only within the client's slice; a set of CPUs takes away from the
// unit, and else from the client's own units only.
var checks = []check{
	{labelsAllowed, labelsDenied},
	{commandAllowed, commandDenied},
	{argsAllowed, argsDenied},
	{userAllowed, userDenied},
	{managerAllowed, managerDenied},
	{envAllowed, envDenied},
	{groupsAllowed, groupsDenied},
	{directoriesAllowed, directoriesDenied},
	{rootfsAllowed, rootfsDenied},
	{volumesAllowed, volumesDenied},
	{devicesAllowed, devicesDenied},
	{resourcesAllowed, resourcesDenied},
	{credentialsAllowed, credentialsDenied},
	{cpuAllowed, cpuDenied},
	{logDriverAllowed, logDriverDenied},
	{profileAllowed, profileDenied},
	{directivesAllowed, directivesDenied},
	{managerTakes, managerTakesNot},
	{networkAllowed, networkDenied},
	{sessionAllowed, sessionDenied},
	{identityAllowed, identityDenied}, // last: who has none learns what else is wrong first
}

func commandAllowed(_ *client, l *rule, r *Request) bool {
	possible := false
	if r.memo != nil {
		possible = r.memo.command
	} else {
		possible = commandPossible(r)
	}
	return possible && (r.Session || programAllowed(l, r))
}

// commandPossible is whether some rule could allow the command.
func commandPossible(r *Request) bool {
	return cleanAbsolute(r.Command) || r.Session && fileName(r.Command)
}

// programAllowed takes a clean path.
func programAllowed(l *rule, r *Request) bool {
	if slices.Contains(l.exec.paths, r.Command) {
		return true
	}
	if !slices.ContainsFunc(execRoots, func(root string) bool { return below(root, r.Command) }) {
		return false
	}
	return l.exec.any || slices.ContainsFunc(l.exec.under, func(dir string) bool { return below(dir, r.Command) })
}

func commandDenied(c *client, _ *rule, r *Request) *Denial {
	d := &Denial{Subject: "command", Value: r.Command}
	top, rest, _ := strings.Cut(strings.TrimPrefix(r.Command, "/"), "/")
	switch {
	case !cleanAbsolute(r.Command):
		d.Reason = `this is not an absolute path without "//", "." and ".."; write it out`
	case slices.Contains(usrLinks, top):
		d.Reason = fmt.Sprintf("/%s is only a link to /usr/%s; set command to /usr/%s/%s", top, top, top, rest)
	default:
		local := ""
		if slices.ContainsFunc(c.rules, func(l *rule) bool { return l.exec.any || slices.Contains(l.exec.under, "/local") }) {
			local = "put the program into the task's local/ directory, or "
		}
		d.Reason = fmt.Sprintf("no rule of policy client %q lets a task run this program; "+
			"%sask the operator to add it to exec.paths or exec.under of a rule", c.Name, local)
	}
	return d
}

func userAllowed(_ *client, l *rule, r *Request) bool {
	if r.User == "" {
		return l.runAs.dynamic
	}
	_, ok := l.runAs.users[r.User]
	return ok
}

func userDenied(c *client, _ *rule, r *Request) *Denial {
	d := &Denial{Subject: "user", Value: r.User}
	ephemeral := ""
	if slices.ContainsFunc(c.rules, func(l *rule) bool { return l.runAs.dynamic && commandAllowed(c, l, r) }) {
		ephemeral = ", or leave user unset to run as an ephemeral user"
	}
	switch {
	case r.User == "":
		d.Reason = fmt.Sprintf("no rule of policy client %q lets a task run this program as an ephemeral user; "+
			"set user to one that the policy allows, or ask the operator to add run_as.dynamic_user to a rule", c.Name)
	case r.User == "root" || r.User == c.User:
		d.Reason = fmt.Sprintf("no rule of policy client %q lets a task run as this user, and none can; "+
			"name another user%s", c.Name, ephemeral)
	default:
		d.Reason = fmt.Sprintf("no rule of policy client %q lets a task run as this user; "+
			"ask the operator to add it to run_as.users of a rule%s", c.Name, ephemeral)
	}
	return d
}

// directoriesAllowed wants the three directories of one task of one
// allocation, as Nomad lays them out directly below the client's alloc_root:
// ALLOC/alloc, ALLOC/TASK/local and ALLOC/TASK/secrets.
func directoriesAllowed(c *client, _ *rule, r *Request) bool {
	if r.memo != nil {
		return r.memo.directories
	}
	alloc, ok := strings.CutSuffix(r.Directories.Alloc, "/alloc")
	if !ok || !childOf(c.AllocRoot, alloc) {
		return false
	}
	task, ok := strings.CutSuffix(r.Directories.Local, "/local")
	if !ok || !childOf(alloc, task) || task == r.Directories.Alloc {
		return false
	}
	return r.Directories.Secrets == task+"/secrets"
}

func directoriesDenied(c *client, _ *rule, r *Request) *Denial {
	return &Denial{
		Subject: "directories",
		Value:   strings.Join([]string{r.Directories.Alloc, r.Directories.Local, r.Directories.Secrets}, " "),
		Reason: fmt.Sprintf("these are not ALLOC/alloc, ALLOC/TASK/local and ALLOC/TASK/secrets directly below %s; "+
			"ask the operator to set alloc_root of policy client %q to the agent's alloc_dir", c.AllocRoot, c.Name),
	}
}

func resourcesAllowed(_ *client, l *rule, r *Request) bool {
	return tasksFit(l, r) && memoryLimited(l, r) && memoryFits(l, r)
}

func tasksFit(l *rule, r *Request) bool { return r.Resources.TasksMax <= l.limits.tasksMax }

func memoryLimited(l *rule, r *Request) bool {
	return l.limits.memoryUnlimited || !r.Resources.MemoryUnlimited && r.Resources.MemoryMax != 0
}

// memoryFits bounds protected memory as well: what one unit is promised, all
// others go without.
func memoryFits(l *rule, r *Request) bool {
	return l.limits.memoryUnlimited || max(r.Resources.MemoryMax, r.Resources.MemoryLow) <= l.limits.memoryMax
}

func resourcesDenied(_ *client, l *rule, r *Request) *Denial {
	d := &Denial{Subject: "resources"}
	switch {
	case !tasksFit(l, r):
		d.Value = fmt.Sprintf("tasks_max %d", r.Resources.TasksMax)
		d.Reason = fmt.Sprintf("a task may have at most %d processes and threads here; "+
			"ask for fewer, or ask the operator to raise limits.tasks_max of a rule", l.limits.tasksMax)
	case !memoryLimited(l, r):
		d.Value = "memory unlimited"
		d.Reason = "a task must have a memory limit; set memory_max in its resources, " +
			"or ask the operator to set limits.memory_unlimited in a rule"
	default:
		d.Value = "memory " + bytesText(max(r.Resources.MemoryMax, r.Resources.MemoryLow))
		d.Reason = fmt.Sprintf("a task may have at most %s here; ask for less memory and memory_max in its resources, "+
			"or ask the operator to raise limits.memory_max of a rule", bytesText(l.limits.memoryMax))
	}
	return d
}

// bytesText is an amount of memory in MiB, the unit of job files, if it is whole.
func bytesText(n uint64) string {
	if n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

// logDriverAllowed: the output of a session goes to whoever asked for it.
func logDriverAllowed(_ *client, l *rule, r *Request) bool {
	return r.Session || slices.Contains(l.logs, r.LogDriver)
}

func logDriverDenied(c *client, _ *rule, r *Request) *Denial {
	return &Denial{
		Subject: "log driver", Value: string(r.LogDriver),
		Reason: fmt.Sprintf("no rule of policy client %q lets this task log there; "+
			"choose another driver in the task's logging block, or ask the operator to add it to log_drivers of a rule", c.Name),
	}
}

// sessionAllowed: any program may, for what a session can do its unit can, and
// a program that the rule allows could be told to execute any other.
func sessionAllowed(_ *client, l *rule, r *Request) bool {
	return !r.Session || l.sessions && l.name == r.Rule
}

func sessionDenied(c *client, _ *rule, r *Request) *Denial {
	return &Denial{
		Subject: "session", Value: r.Command,
		Reason: fmt.Sprintf("no rule of policy client %q lets a program run beside this task (alloc exec, script checks, change_script); "+
			"ask the operator to set sessions = true in the rule of this task", c.Name),
	}
}

// cleanAbsolute is a path that means what it says. It may still lead over symlinks.
func cleanAbsolute(p string) bool {
	return strings.HasPrefix(p, "/") && path.Clean(p) == p && !strings.ContainsRune(p, 0)
}

// fileName is a name without a directory.
func fileName(p string) bool {
	return p != "" && p != "." && p != ".." && !strings.ContainsAny(p, "/\x00")
}

// below is whether the clean path p lies under the clean directory dir, at any
// depth: /opt/app holds /opt/app/x, not /opt/application and not itself.
func below(dir, p string) bool {
	rest, ok := strings.CutPrefix(p, dir)
	return ok && strings.HasPrefix(rest, "/")
}

// childOf is whether p lies directly under the directory dir: p is dir, a slash
// and one name.
func childOf(dir, p string) bool {
	rest, ok := strings.CutPrefix(p, dir)
	name, slash := strings.CutPrefix(rest, "/")
	return ok && slash && name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}
