// SPDX-License-Identifier: MPL-2.0

package migrate

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// needs is what a rule for a task must allow beyond the one that is installed first.
type needs struct {
	paths, under, users, directives       []string
	readOnly, readWrite, devices, volumes []string // volumes are names that Nomad's clients know
	image                                 string   // where to unpack it on the node
	hostRootfs, sessions                  bool
	memory                                int // MiB
}

// none reports whether the rule that is installed first will do, which allows sessions.
func (n *needs) none() bool {
	return len(n.paths)+len(n.under)+len(n.users)+len(n.directives)+len(n.readOnly)+len(n.readWrite)+len(n.devices)+len(n.volumes)+n.memory == 0 &&
		n.image == "" && !n.hostRootfs
}

var notInNames = regexp.MustCompile(`[^a-z0-9-]+`)

// ruleName is a name for the rule of a task that no other rule in taken has.
func ruleName(taken map[string]bool, names ...string) string {
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(strings.Join(names, "-")), "-"), "-")
	if len(name) > 56 {
		name = strings.TrimRight(name[:56], "-") // with a number it is 64 at most
	}
	if name == "" {
		name = "task"
	}
	free := name
	for i := 2; taken[free]; i++ {
		free = fmt.Sprintf("%s-%d", name, i)
	}
	taken[free] = true
	return free
}

// hcl is a draft of the rule. A rule must accept all of a request, so it repeats what
// the first one allows.
func (n *needs) hcl(name string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("rule %q {", name)
	line("  client      = \"nomad\"")
	line("  log_drivers = [\"fds\"]")
	if n.sessions {
		line("  sessions    = true")
	}
	switch {
	case n.image != "":
		line("  rootfs      = [\"image\"]")
		line("  images      = [%q]", n.image)
	case n.hostRootfs:
		line("  rootfs      = [\"minimal\", \"host\"]")
	}
	if len(n.devices) > 0 {
		line("  devices     = [%s]", quoted(n.devices))
	}
	line("\n  exec {")
	switch {
	case len(n.paths) > 0:
		line("    paths = [%s]", quoted(n.paths))
	case len(n.under) > 0:
		line("    under = [%s]", quoted(n.under))
	case n.image != "":
		line("    any = true")
	default:
		line("    under = [\"/local\"]")
	}
	line("  }\n\n  run_as {")
	if len(n.users) > 0 {
		line("    users = [%s]", quoted(n.users))
		line("    system_users = true # for uids below 1000; delete it if there is none")
	} else {
		line("    dynamic_user = true")
	}
	line("  }")
	n.writeVolumes(line)
	if len(n.directives) > 0 {
		line("\n  directives {\n    names = [%s]\n  }", quoted(n.directives))
	}
	if n.memory > 0 {
		line("\n  limits {\n    memory_max = \"%dMiB\"\n  }", n.memory)
	}
	line("}")
	return b.String()
}

func (n *needs) writeVolumes(line func(string, ...any)) {
	if len(n.volumes)+len(n.readOnly)+len(n.readWrite) == 0 {
		return
	}
	for _, name := range n.volumes {
		line("\n  # The path of the host volume %q on the node: read_write in volumes.", name)
	}
	if len(n.readOnly)+len(n.readWrite) == 0 {
		return
	}
	line("\n  volumes {")
	if len(n.readOnly) > 0 {
		line("    read_only  = [%s]", quoted(n.readOnly))
	}
	if len(n.readWrite) > 0 {
		line("    read_write = [%s]", quoted(n.readWrite))
	}
	line("  }")
}

// quoted are names that no quoted text of HCL has a meaning of its own for.
func quoted(names []string) string {
	var all []string
	for _, n := range slices.Compact(slices.Sorted(slices.Values(names))) {
		all = append(all, fmt.Sprintf("%q", n))
	}
	return strings.Join(all, ", ")
}
