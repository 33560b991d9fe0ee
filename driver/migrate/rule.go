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
	paths, under, users, directives []string
	sessions                        bool
	memory                          int // MiB
}

var notInNames = regexp.MustCompile(`[^a-z0-9-]+`)

// hcl is a draft of the rule; empty if the task needs none of its own. A rule must
// accept all of a request, so it repeats what the first one allows.
func (n *needs) hcl(names ...string) string {
	if len(n.paths)+len(n.under)+len(n.users)+len(n.directives) == 0 && n.memory == 0 {
		return "" // sessions alone are allowed by the first rule
	}
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(strings.Join(names, "-")), "-"), "-")
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("rule %q {", name)
	line("  client      = \"nomad\"")
	line("  log_drivers = [\"fds\"]")
	if n.sessions {
		line("  sessions    = true")
	}
	line("\n  exec {")
	switch {
	case len(n.paths) > 0:
		line("    paths = [%s]", quoted(n.paths))
	case len(n.under) > 0:
		line("    under = [%s]", quoted(n.under))
	default:
		line("    under = [\"/local\"]")
	}
	line("  }\n\n  run_as {")
	if len(n.users) > 0 {
		line("    users = [%s]", quoted(n.users))
	} else {
		line("    dynamic_user = true")
	}
	line("  }")
	if len(n.directives) > 0 {
		line("\n  directives {\n    names = [%s]\n  }", quoted(n.directives))
	}
	if n.memory > 0 {
		line("\n  limits {\n    memory_max = \"%dMiB\"\n  }", n.memory)
	}
	line("}")
	return b.String()
}

func quoted(names []string) string {
	var all []string
	for _, n := range slices.Compact(slices.Sorted(slices.Values(names))) {
		all = append(all, fmt.Sprintf("%q", n))
	}
	return strings.Join(all, ", ")
}
