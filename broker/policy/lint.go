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
	"bash", "dash", "java", "ksh", "lua", "node", "nodejs", "perl", "php", "python", "python3", "ruby", "sh", "tclsh", "zsh",
}

// launchers are other programs that run what their arguments, or files that these
// name, say.
var launchers = []string{
	"awk", "busybox", "chrt", "chroot", "cmake", "cpio", "dc", "ed", "emacs", "env", "ex", "expect", "find", "flock", "gawk", "gcc", "gdb", "git",
	"go", "ionice", "jq", "less", "m4", "make", "man", "mawk", "mysql", "ncat", "nc", "nice", "nohup", "nsenter", "openssl", "parallel", "pip", "psql",
	"rsync", "runuser", "scp", "script", "sed", "setarch", "setpriv", "setsid", "sftp", "socat", "sqlite3", "ssh", "start-stop-daemon", "stdbuf",
	"strace", "su", "sudo", "systemd-run", "tar", "taskset", "tclsh", "time", "timeout", "unshare", "vi", "view", "vim", "watch", "wget", "xargs", "zip",
}

// Interprets reports whether the program at this path is an interpreter by its name,
// such as python3.11, or runs others.
func Interprets(file string) bool {
	name := path.Base(file)
	plain := strings.TrimRight(name, "-.0123456789")
	return slices.ContainsFunc([]string{name, plain}, func(n string) bool {
		return slices.Contains(Interpreters, n) || slices.Contains(launchers, n)
	})
}

// Host is what Lint asks of the host.
type Host struct {
	// Has tells whether a path is there.
	Has func(path string) bool
	// Changeable is what others than root can change on the way to a program; empty
	// if there is nothing, or no such program.
	Changeable func(path string) string
	// TellsUnits is whether the kernel says from which service a client connects.
	TellsUnits bool
	// HasUnit tells whether there is a service of this name.
	HasUnit func(name string) bool
}

// AnyHost has all that a policy names.
func AnyHost() *Host {
	yes := func(string) bool { return true }
	return &Host{Has: yes, Changeable: func(string) string { return "" }, TellsUnits: true, HasUnit: yes}
}

// linter collects warnings.
type linter struct {
	host *Host
	all  []Warning
}

// Lint looks for rules that allow more, or less, than they seem to, on this host.
func (p *Policy) Lint(host *Host) []Warning {
	lint := &linter{host: host}
	for _, listed := range p.Clients() {
		c := p.clients[listed.UID]
		lint.client(c)
		for i, l := range c.rules {
			warn := lint.of(fmt.Sprintf("rule %q", l.name), l.file, l.line)
			if missing := l.missing(); missing != "" {
				warn("it allows nothing: it has no %s", missing)
				continue
			}
			lint.programs(l, warn)
			lint.users(l, warn)
			lint.places(l, warn)
			if c.Identity != nil && l.labels != nil && !l.requireIdentity {
				warn("its labels are claims of the client, and can be proven: add require_identity = true")
			}
			for _, n := range c.nevers {
				if n.coversAll(l) {
					warn("it allows nothing: never %q (%s:%d) forbids all of it", n.name, n.file, n.line)
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
	return lint.all
}

func (lint *linter) of(block, file string, line int) func(format string, args ...any) {
	return func(format string, args ...any) {
		lint.all = append(lint.all, Warning{block, file, line, fmt.Sprintf(format, args...)})
	}
}

func (lint *linter) client(c *client) {
	warn := lint.of(fmt.Sprintf("client %q", c.Name), "", 0)
	if len(c.rules) == 0 {
		warn("no rule is for it, so that it may start nothing")
	}
	if c.Identity != nil && !lint.host.Has(c.Identity.File) {
		warn("%s is not on this host, so that no rule with require_identity allows anything", c.Identity.File)
	}
	if !lint.host.Has(c.AllocRoot) {
		warn("its alloc_root %s is not on this host; it is the agent's alloc_dir", c.AllocRoot)
	}
	switch {
	case c.Unit == "":
	case !lint.host.TellsUnits:
		warn("with unit it may start nothing here: the kernel does not say from which service a process connects; Linux 6.5 does")
	case !lint.host.HasUnit(c.Unit):
		warn("there is no %s on this host, so that it may start nothing", c.Unit)
	}
}

// programs looks at what a rule lets tasks execute.
func (lint *linter) programs(l *rule, warn func(string, ...any)) {
	if l.exec.any {
		warn("exec.any = true lets tasks run every program of the host; list those that are needed")
	}
	users := slices.Sorted(maps.Keys(l.runAs.users))
	switch names := l.interpreters(lint.host.Has); {
	case len(names) == 0 || !l.args.takesAll():
	case len(users) > 0:
		warn("with %s and any arguments a job can do all that %s can; add args, or leave users out",
			strings.Join(names, ", "), strings.Join(users, ", "))
	case l.args == nil && len(l.exec.under) == 0 && !l.exec.any:
		warn("with %s and any arguments a job runs programs of its own, as with exec.under = [\"/local\"]; add args, or args { any = true } if it is meant",
			strings.Join(names, ", "))
	}
	for _, file := range l.exec.paths {
		if l.args == nil && len(users) > 0 && !inTask(file) && !Interprets(file) {
			warn("%s takes any arguments, as %s; add args, or args { any = true } if it is meant", file, strings.Join(users, ", "))
		}
	}
	for _, file := range slices.Concat(l.exec.paths, l.exec.under) {
		switch {
		case inTask(file) || slices.Contains(l.files.kinds(), RootfsImage):
		case !lint.host.Has(file):
			warn("%s is not on this host", file)
		case lint.host.Changeable(file) != "":
			warn("others than root can change %s, so that %s does not start; chown root:root and chmod go-w it", lint.host.Changeable(file), file)
		}
	}
}

func (lint *linter) users(l *rule, warn func(string, ...any)) {
	for _, name := range slices.Sorted(maps.Keys(l.runAs.users)) {
		if l.runAs.users[name].UID == 65534 {
			warn("%s is who owns what has no owner, and other programs run as it; make a user for these tasks", name)
		}
	}
}

// places looks for what a rule lets tasks see of the host.
func (lint *linter) places(l *rule, warn func(string, ...any)) {
	for _, of := range []struct {
		key    string
		places []string
	}{
		{"devices", l.files.devices}, {"images", l.files.images}, {"volumes.read_only", l.volumes.readOnly}, {"volumes.read_write", l.volumes.readWrite},
	} {
		for _, place := range of.places {
			if !lint.host.Has(place) {
				warn("%s of %s is not on this host", place, of.key)
			}
		}
	}
}

// takesAll is whether no argument is refused, but for "..", or that of an interpreter
// which counts: the first.
func (m *argsMatcher) takesAll() bool {
	switch {
	case m.free():
		return true
	case m.none:
		return false
	case m.first != nil:
		return slices.Contains(m.first, "*")
	}
	return slices.Contains(m.each, "*")
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
	for _, name := range slices.Concat(Interpreters, launchers) {
		file := "/usr/bin/" + name
		if (l.exec.any || programIn(l.exec.under, nil, file)) && onHost(file) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
