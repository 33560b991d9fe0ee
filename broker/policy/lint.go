// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Warning is something in a policy that loads, and may not be what was meant.
type Warning struct {
	Block string // such as rule "web"
	File  string
	Line  int
	Text  string
}

// Interpreters run whatever their arguments say. Versions may follow the names, see
// [Interprets].
var Interpreters = []string{
	"awk", "bash", "busybox", "dash", "env", "gawk", "java", "ksh", "lua", "mawk", "node", "nodejs", "perl", "php", "python", "python3", "ruby", "sh", "tclsh", "xargs", "zsh",
}

// Interprets reports whether the program at this path is an interpreter by its name,
// such as python3.11.
func Interprets(file string) bool {
	name := path.Base(file)
	return slices.Contains(Interpreters, name) || slices.Contains(Interpreters, strings.TrimRight(name, "-.0123456789"))
}

// Lint looks for rules that allow more, or less, than they seem to. onHost tells
// whether a path is on this host.
func (p *Policy) Lint(onHost func(path string) bool) []Warning {
	var all []Warning
	for _, listed := range p.Clients() {
		c := p.clients[listed.UID]
		if len(c.rules) == 0 {
			all = append(all, Warning{Block: fmt.Sprintf("client %q", c.Name), Text: "no rule is for it, so that it may start nothing"})
		}
		if c.Identity != nil && !onHost(c.Identity.File) {
			all = append(all, Warning{Block: fmt.Sprintf("client %q", c.Name), Text: fmt.Sprintf("%s is not on this host, so that no rule with require_identity allows anything", c.Identity.File)})
		}
		for i, l := range c.rules {
			warn := func(format string, args ...any) {
				all = append(all, Warning{fmt.Sprintf("rule %q", l.name), l.file, l.line, fmt.Sprintf(format, args...)})
			}
			if missing := l.missing(); missing != "" {
				warn("it allows nothing: it has no %s", missing)
				continue
			}
			if l.exec.any {
				warn("exec.any = true lets tasks run every program of the host; list those that are needed")
			}
			if names := l.interpreters(onHost); len(names) > 0 && l.args == nil && len(l.runAs.users) > 0 {
				warn("with %s and any arguments a job can do all that %s can; add args, or leave users out",
					strings.Join(names, ", "), strings.Join(slices.Sorted(maps.Keys(l.runAs.users)), ", "))
			}
			if c.Identity != nil && l.labels != nil && !l.requireIdentity {
				warn("its labels are claims of the client, and can be proven: add require_identity = true")
			}
			for _, file := range slices.Concat(l.exec.paths, l.exec.under) {
				if !inTask(file) && !onHost(file) {
					warn("%s is not on this host", file)
				}
			}
			for j, other := range c.rules {
				if i != j && other.covers(l) && (j < i || !l.covers(other)) {
					warn("rule %q (%s:%d) allows all that it allows; delete one", other.name, other.file, other.line)
					break
				}
			}
		}
	}
	return all
}

// missing is a part without which the rule allows nothing.
func (l *rule) missing() string {
	switch {
	case !l.exec.any && len(l.exec.under)+len(l.exec.paths) == 0:
		return "exec"
	case !l.runAs.dynamic && len(l.runAs.users) == 0:
		return "run_as"
	case len(l.logs) == 0 && !l.sessions:
		return "log_drivers"
	}
	return ""
}

// inTask is whether a path is of the task's own directories, and not of the host.
func inTask(p string) bool {
	for _, root := range []string{"/local", "/alloc"} {
		if p == root || below(root, p) {
			return true
		}
	}
	return false
}

// interpreters are those of the host that the rule allows.
func (l *rule) interpreters(onHost func(string) bool) []string {
	var names []string
	for _, p := range l.exec.paths {
		if Interprets(p) {
			names = append(names, path.Base(p))
		}
	}
	for _, name := range Interpreters {
		file := "/usr/bin/" + name
		if (l.exec.any || programIn(l.exec.under, nil, file)) && onHost(file) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// covers is whether l surely accepts all that other accepts. It may say no where
// the answer is yes.
func (l *rule) covers(other *rule) bool {
	return l.args.equal(other.args, true) && l.coversLabels(other) && l.coversExec(other) && l.coversRights(other) && l.coversLimits(other)
}

// equal is whether both accept the same, or m is free and that will do.
func (m *argsMatcher) equal(other *argsMatcher, freeWillDo bool) bool {
	if m == nil {
		return freeWillDo || other == nil
	}
	return other != nil && m.none == other.none && slices.Equal(m.first, other.first) && slices.Equal(m.each, other.each)
}

func (l *rule) coversLabels(other *rule) bool {
	for _, m := range l.labels {
		if !slices.ContainsFunc(other.labels, func(o labelMatcher) bool { return o.name == m.name && subset(o.patterns, m.patterns) }) {
			return false
		}
	}
	return true
}

func (l *rule) coversExec(other *rule) bool {
	if other.exec.any && !l.exec.any {
		return false
	}
	for _, dir := range other.exec.under {
		if !l.exec.any && !slices.ContainsFunc(l.exec.under, func(d string) bool { return d == dir || below(d, dir) }) {
			return false
		}
	}
	for _, file := range other.exec.paths {
		if !programAllowed(nil, l, &Request{Command: file}) {
			return false
		}
	}
	return true
}

// holds is whether each of the places is one of dirs, or below one.
func holds(dirs, places []string) bool {
	return !slices.ContainsFunc(places, func(p string) bool {
		return !slices.ContainsFunc(dirs, func(dir string) bool { return p == dir || below(dir, p) })
	})
}

func (l *rule) coversRights(other *rule) bool {
	if l.requireIdentity && !other.requireIdentity || other.runAs.dynamic && !l.runAs.dynamic || other.sessions && !l.sessions {
		return false
	}
	if !holds(l.volumes.readWrite, other.volumes.readWrite) ||
		!holds(slices.Concat(l.volumes.readOnly, l.volumes.readWrite), other.volumes.readOnly) {
		return false
	}
	if !subset(other.files.kinds(), l.files.kinds()) || !holds(l.files.images, other.files.images) || !subset(other.files.devices, l.files.devices) {
		return false
	}
	for name := range other.runAs.groups {
		if _, ok := l.runAs.groups[name]; !ok {
			return false
		}
	}
	for name := range other.runAs.users {
		if _, ok := l.runAs.users[name]; !ok {
			return false
		}
	}
	// Which directives are free depends on the profile, and the first is for jobs
	// that name none.
	return slices.Equal(l.profiles, other.profiles) && subset(other.logs, l.logs) &&
		subset(other.directives.classes, l.directives.classes) && subset(other.directives.names, l.directives.names) &&
		(l.networks == nil || other.networks != nil && subset(other.networks, l.networks))
}

func (l *rule) coversLimits(other *rule) bool {
	a, b := l.limits, other.limits
	memory := a.memoryUnlimited || !b.memoryUnlimited && b.memoryMax <= a.memoryMax
	atMost := func(a, b uint64) bool { return a == 0 || b != 0 && b <= a }
	return memory && b.tasksMax <= a.tasksMax && b.credentialsMax <= a.credentialsMax && atMost(a.cpuPercent, b.cpuPercent) && atMost(a.cpuWeight, b.cpuWeight) && l.quota == (Quota{})
}

func subset[T comparable](some, all []T) bool {
	return !slices.ContainsFunc(some, func(v T) bool { return !slices.Contains(all, v) })
}
