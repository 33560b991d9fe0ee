// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nomad-systemd-driver/broker/policy"
)

// denied is what of the wish the policy denies still.
func (w *wish) denied(p *policy.Policy) *policy.Denial {
	for _, r := range w.requests {
		_, err := p.Decide(w.client.Peer(), r)
		if d, ok := errors.AsType[*policy.Denial](err); ok {
			return d
		}
	}
	return nil
}

// unwritable are characters that labels of a policy cannot hold, or that mean something
// else there.
const unwritable = `"\$%{*`

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

func (w *wish) text(n int, system bool) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# %d × %s", w.times, oneLine(w.denial))
	if policy.Interprets(w.command) {
		line("# This program runs what its arguments say, and they are not recorded: add args.")
	}
	name := notInNames.ReplaceAllString(w.label("JOB_ID")+"-"+w.label("TASK_NAME"), "_")
	line("rule %q {", fmt.Sprintf("suggested-%d-%.40s", n, name))
	aligned(line, "  ", w.attributes())
	line("")
	line("  labels {")
	for _, name := range taskLabels {
		if v, ok := w.labels[name]; ok {
			line("    %-10s = [%q]", name, v)
		}
	}
	line("  }\n")
	line("  exec {\n    paths = [%q]\n  }\n", w.command)
	line("  run_as {")
	if w.user == "" {
		line("    dynamic_user = true")
	} else {
		line("    users = [%q]", w.user)
		if w.manager {
			line("    session_users = [%q]", w.user)
		}
		if system {
			line("    system_users = true")
		}
	}
	if len(w.groups) > 0 {
		line("    groups = %s", list(w.groups))
	}
	line("  }")
	w.volumes(line)
	w.granted(line)
	line("\n  limits {")
	aligned(line, "    ", w.limits())
	line("  }\n}")
	return b.String()
}

// attribute is one line of a block.
type attribute struct{ name, value string }

// aligned writes attributes as people do.
func aligned(line func(string, ...any), indent string, all []attribute) {
	widest := 0
	for _, a := range all {
		widest = max(widest, len(a.name))
	}
	for _, a := range all {
		line("%s%-*s = %s", indent, widest, a.name, a.value)
	}
}

func (w *wish) attributes() []attribute {
	all := []attribute{{"client", strconv.Quote(w.client.Name)}, {"log_drivers", list(w.logs)}}
	add := func(is bool, name, value string) {
		if is {
			all = append(all, attribute{name, value})
		}
	}
	add(!slices.Equal(w.profiles, []string{policy.DefaultProfile}), "profiles", list(w.profiles))
	add(w.proven(), "require_identity", "true")
	add(true, "network", list(w.networks))
	add(len(w.capabilities) > 0, "capabilities", list(w.capabilities))
	add(!slices.Equal(w.rootfs, []string{string(policy.RootfsMinimal)}), "rootfs", list(w.rootfs))
	add(len(w.images) > 0, "images", list(w.images))
	add(len(w.devices) > 0, "devices", list(w.devices))
	return all
}

func (w *wish) limits() []attribute {
	all := []attribute{{"memory_max", fmt.Sprintf("\"%dMiB\"", max(1, (w.memory+1<<20-1)>>20))}}
	if w.unlimited {
		all[0] = attribute{"memory_unlimited", "true"}
	}
	if w.tasks > 0 {
		all = append(all, attribute{"tasks_max", strconv.FormatUint(w.tasks, 10)})
	}
	if percent := w.cpuPercent(); percent > 0 {
		all = append(all, attribute{"cpu_percent", strconv.Itoa(percent)})
	}
	if w.credentials == 0 { // of others the size is not recorded
		all = append(all, attribute{"credentials_max", `"1KiB"`})
	}
	return all
}

// granted writes the blocks for directives and the environment.
func (w *wish) granted(line func(string, ...any)) {
	if len(w.env) > 0 {
		line("\n  env { # with these the job runs code of its own in the program\n    names = %s\n  }", list(w.env))
	}
	if len(w.directives)+len(w.values) == 0 {
		return
	}
	line("\n  directives {")
	if len(w.directives) > 0 {
		line("    names = %s", list(w.directives))
	}
	if len(w.values) > 0 {
		line("    values {")
		for _, name := range slices.Sorted(maps.Keys(w.values)) {
			line("      %s = %s", name, list(w.values[name]))
		}
		line("    }")
	}
	line("  }")
}

// cpuPercent is the highest limit of CPU time that was asked for, in whole percent; 0
// if not all requests have one.
func (w *wish) cpuPercent() int {
	highest := 0
	for _, r := range w.requests {
		i := slices.IndexFunc(r.Directives, func(d policy.Directive) bool { return d.Name == "CPUQuota" })
		if i < 0 {
			return 0
		}
		lines := r.Directives[i].Lines
		text, ok := strings.CutSuffix(lines[len(lines)-1], "%")
		percent, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil || percent <= 0 || percent > 1e6 {
			return 0
		}
		highest = max(highest, int(math.Ceil(percent)))
	}
	return highest
}

// volumes writes the block for what the task sees of the host.
func (w *wish) volumes(line func(string, ...any)) {
	if len(w.readOnly)+len(w.readWrite) == 0 {
		return
	}
	line("\n  volumes {")
	if len(w.readOnly) > 0 {
		line("    read_only  = %s", list(w.readOnly))
	}
	if len(w.readWrite) > 0 {
		line("    read_write = %s", list(w.readWrite))
	}
	line("  }")
}

// proven is whether it was proven each time which task asks.
func (w *wish) proven() bool {
	return !slices.ContainsFunc(w.requests, func(r *policy.Request) bool { return !r.Proof.Proven() })
}

// asked are the networks that the requests ask for by themselves.
func (w *wish) asked() []string {
	var all []string
	for _, r := range w.requests {
		switch {
		case r.NetworkNamespace != "":
			all = with(all, r.NetworkNamespace)
		case !w.private():
			all = with(all, string(policy.NetworkHost))
		default:
			all = with(all, string(policy.NetworkNone))
		}
	}
	return all
}

// private is whether all requests ask for no network by themselves.
func (w *wish) private() bool {
	return !slices.ContainsFunc(w.requests, func(r *policy.Request) bool {
		return !slices.ContainsFunc(r.Directives, func(d policy.Directive) bool {
			return d.Name == "PrivateNetwork" && slices.Contains([]string{"yes", "true", "on", "1"}, d.Lines[len(d.Lines)-1])
		})
	})
}

func list(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = fmt.Sprintf("%q", v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// oneLine is text for a comment: what a client sent must not begin a line of its own.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r == '\u0085' {
			return '?'
		}
		return r
	}, s)
}
