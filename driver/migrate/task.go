// SPDX-License-Identifier: MPL-2.0

package migrate

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// examination is that of one task.
type examination struct {
	report *Report
	group  *group
	task   *task
	needs  needs
}

func (e *examination) add(l Level, format string, args ...any) {
	e.report.Findings = append(e.report.Findings, Finding{
		Group: e.group.Name, Task: e.task.Name, Level: l, Text: fmt.Sprintf(format, args...),
	})
}

// drivers says for each driver what becomes of its tasks.
var drivers = map[string]func(*examination){
	"raw_exec": func(e *examination) {
		e.command()
		if e.task.User == "" {
			e.add(Note, "ran as the agent's user, often root; now under a uid of its own, which owns nothing of the host")
		}
		e.add(Note, "saw the whole host; now /usr read-only, /local, /alloc, /secrets and a private /tmp. The agent's environment is not passed on")
		e.signal("SIGINT")
	},
	"exec": func(e *examination) {
		e.command()
		if e.task.User == "" {
			e.add(Note, "ran as nobody; now under a uid of its own")
		}
		e.signal("SIGINT")
	},
	"exec2": func(e *examination) {
		e.command()
		e.signal("SIGINT")
	},
	"java": func(e *examination) {
		e.add(Change, `no driver of its own for Java: command = "/usr/bin/java", args = ["-jar", "/local/NAME.jar", …], and jvm_options before -jar`)
		e.needs.paths = append(e.needs.paths, "/usr/bin/java")
		e.signal("SIGINT")
	},
	"docker": (*examination).container,
	"podman": (*examination).container,
	"systemd": func(e *examination) {
		e.add(Note, "uses the driver systemd already")
	},
}

func (e *examination) examine() {
	if do := drivers[e.task.Driver]; do != nil {
		do(e)
	} else {
		e.add(Unsupported, "driver %q: what it does is not known here", e.task.Driver)
	}
	if e.task.Driver != "systemd" {
		e.keys()
	}
	e.user()
	e.rest()
}

// command is about config.command of drivers that run a program of the host or the task.
func (e *examination) command() {
	command, _ := e.task.Config["command"].(string)
	local := strings.NewReplacer("${NOMAD_TASK_DIR}", "/local", "${env[\"NOMAD_TASK_DIR\"]}", "/local", "${NOMAD_ALLOC_DIR}", "/alloc").Replace(command)
	below := func(dir string) bool { return strings.HasPrefix(path.Clean(local), dir+"/") }
	switch {
	case command == "":
		e.add(Change, "there is no command")
	case !strings.Contains(local, "/"):
		e.add(Change, `command %q was looked for in PATH: write its path, for example "/usr/bin/%s"`, command, command)
		e.needPath("/usr/bin/" + command)
	case below("/local"), below("local"):
	case below("/alloc"):
		e.needs.under = append(e.needs.under, "/alloc")
		e.add(Rule, "command %q is in /alloc, where other tasks of the group can write", command)
	case below("/usr"), below("/bin"), below("/sbin"):
		e.add(Rule, "command %q is a program of the host", command)
		e.needPath(path.Clean(local))
	case strings.HasPrefix(local, "/"):
		e.needs.hostRootfs = true
		e.needPath(path.Clean(local))
		e.add(Rule, "command %q: tasks see of the host's programs only /usr; bring it as an artifact, or write rootfs = \"host\", which the rule must list in its rootfs", command)
	default:
		e.add(Change, "command %q: relative paths begin in local/", command)
	}
}

// needPath puts a program into the draft.
func (e *examination) needPath(p string) {
	if !writable(p) {
		e.add(Change, "command %q: a policy cannot name such a path; use another one", p)
		return
	}
	e.needs.paths = append(e.needs.paths, p)
}

func (e *examination) container() {
	image, _ := e.task.Config["image"].(string)
	e.needs.image = "/srv/images/" + strings.Trim(notInNames.ReplaceAllString(strings.ToLower(image), "-"), "-")
	e.add(Change, "image %q: nothing is pulled from a registry. A program that is linked statically, or needs only the host's /usr, can be an artifact; "+
		"otherwise unpack the image on the node, in %s for example, and write rootfs = \"image\" and image = \"…\"; the rule must list it in its images", image, e.needs.image)
	if !writable(e.needs.image) {
		e.needs.image = ""
	}
	if e.task.Config["privileged"] == true {
		e.add(Unsupported, "privileged: no task has privileges of root")
	}
	if command, _ := e.task.Config["command"].(string); path.IsAbs(command) {
		e.needPath(path.Clean(command))
	}
	e.signal("SIGTERM")
}

// signal: with systemd it is SIGTERM.
func (e *examination) signal(before string) {
	if e.task.KillSignal == "" && before != "SIGTERM" {
		e.add(Note, "was stopped by %s, and now is by SIGTERM, unless the job sets kill_signal = %q", before, before)
	}
}

func (e *examination) user() {
	switch name := e.task.User; name {
	case "":
		return
	case "root", "0":
		e.add(Unsupported, `user = "root": no task runs as root, whatever the policy says; capabilities may do (capabilities { add = […] })`)
	case clientUser:
		e.add(Unsupported, "user = %q: no task runs as the agent's own user, whatever the policy says", name)
	default:
		if !userPattern.MatchString(name) {
			e.add(Change, "user = %q: a policy takes the name of a user", name)
			return
		}
		e.needs.users = append(e.needs.users, name)
		e.add(Rule, "user = %q", name)
	}
}

// starterMemory is limits.memory_max of the policy that is installed first.
const starterMemory = 16 << 10 // MiB

// mostMemory is the largest limit that a policy can have.
const mostMemory = 1 << 30 // MiB

func (e *examination) rest() {
	t := e.task
	for _, d := range t.Resources.Devices {
		e.add(Rule, "device %q: the rule must list its node in its devices", d.Name)
	}
	for _, m := range t.VolumeMounts {
		if e.group.Volumes[m.Volume].Type == "host" {
			e.needs.volumes = append(e.needs.volumes, e.group.Volumes[m.Volume].Source)
		}
	}
	if m := max(t.Resources.MemoryMB, t.Resources.MemoryMaxMB); m > starterMemory {
		e.needs.memory = min(m, mostMemory)
		e.add(Rule, "memory of %d MiB: the rule that is installed first allows %d", m, starterMemory)
	}
	scripts := func(services []service) bool {
		return slices.ContainsFunc(services, func(s service) bool {
			for _, c := range s.Checks {
				if c.Type == "script" && (c.TaskName == "" || c.TaskName == t.Name) {
					return true
				}
			}
			return false
		})
	}
	if scripts(t.Services) || scripts(e.group.Services) {
		e.needs.sessions = true
		e.add(Rule, "script checks run a command in the task: sessions = true")
	}
	for _, tpl := range t.Templates {
		if tpl.ChangeMode == "script" {
			e.needs.sessions = true
			e.add(Rule, `template %q runs a command in the task when it changes: sessions = true`, tpl.DestPath)
		}
		if positive(tpl.Uid) || positive(tpl.Gid) {
			e.add(Change, "template %q: an agent without privileges cannot give files to others; remove uid and gid", tpl.DestPath)
		}
	}
}

func positive(n *int) bool { return n != nil && *n > 0 }
