// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"nomad-systemd-driver/broker/directive"
)

// neverParts reads what a never says.
func (c *compiler) neverParts(r *reader, cl *client) []neverPart {
	all := []*neverPart{
		neverExecOf(r.block("exec", neverExec)),
		neverArgsOf(r.block("args", neverArgs)),
		c.neverUsers(r),
		neverDirectives(r.block("directives", directivesSchema)),
		neverCapabilities(r),
		c.neverProfiles(r),
		neverLabels(r, cl),
		neverDevices(r),
		neverRootfs(r),
	}
	if r.boolean("user_manager") {
		all = append(all, &neverPart{key: "user_manager", subject: "user session", value: func(r *Request) string { return r.User }, matches: func(_ *client, r *Request) bool { return r.UserManager }})
	}
	if r.boolean("sessions") {
		all = append(all, &neverPart{key: "sessions", subject: "session", value: theCommand, matches: func(_ *client, r *Request) bool { return r.Session }})
	}
	var parts []neverPart
	for _, p := range all {
		if p != nil {
			parts = append(parts, *p)
		}
	}
	return parts
}

func theCommand(r *Request) string { return r.Command }

// without adds the part without each of the values, of which there are more than these.
func without[T ~string](p *neverPart, key string, values []T, others int, match func([]T) neverMatch) {
	if len(values)+others < 2 {
		return
	}
	for i, v := range values {
		p.less = append(p.less, lessPart{fmt.Sprintf("%s without %q", key, v), match(cut(values, i))})
	}
}

func neverExecOf(r *reader) *neverPart {
	if r == nil {
		return nil
	}
	under, paths := r.paths("under"), r.paths("paths")
	if len(under)+len(paths) == 0 {
		r.fail(r.head, "%s needs under or paths", r.title)
	}
	match := func(under, paths []string) neverMatch {
		return func(_ *client, r *Request) bool { return programIn(under, paths, r.Command) }
	}
	p := &neverPart{key: "exec", subject: "command", value: theCommand, matches: match(under, paths)}
	p.all = func(l *rule) bool {
		return !l.exec.any && !l.sessions && holds(under, l.exec.under) &&
			!slices.ContainsFunc(l.exec.paths, func(file string) bool { return !programIn(under, paths, file) })
	}
	without(p, "exec.under", under, len(paths), func(under []string) neverMatch { return match(under, paths) })
	without(p, "exec.paths", paths, len(under), func(paths []string) neverMatch { return match(under, paths) })
	return p
}

func neverArgsOf(r *reader) *neverPart {
	if r == nil {
		return nil
	}
	patterns := r.patterns("any")
	if len(patterns) == 0 {
		r.fail(r.head, "%s needs any, a list of patterns", r.title)
	}
	match := func(patterns []pattern) neverMatch {
		return func(_ *client, r *Request) bool {
			return slices.ContainsFunc(r.Args, func(arg string) bool { return anyMatches(patterns, arg) })
		}
	}
	p := &neverPart{key: "args", subject: "args", value: func(*Request) string { return "" }, matches: match(patterns)}
	without(p, "args.any", patterns, 0, match)
	return p
}

func (c *compiler) neverUsers(r *reader) *neverPart {
	if !r.has("users") {
		return nil
	}
	uids := map[string]uint32{}
	var names []string
	for _, v := range r.list("users") {
		u, _ := c.lookUp(r, v)
		uids[v.text], names = u.UID, append(names, v.text)
	}
	match := func(names []string) neverMatch {
		return func(cl *client, r *Request) bool {
			return slices.ContainsFunc(cl.rules, func(l *rule) bool {
				u, ok := l.runAs.users[r.User]
				return ok && slices.ContainsFunc(names, func(name string) bool { return uids[name] == u.UID })
			})
		}
	}
	p := &neverPart{key: "users", subject: "user", value: func(r *Request) string { return r.User }, matches: match(names)}
	p.all = func(l *rule) bool {
		for _, u := range l.runAs.users {
			if !slices.ContainsFunc(names, func(name string) bool { return uids[name] == u.UID }) {
				return false
			}
		}
		return !l.runAs.dynamic
	}
	without(p, "users", names, 0, match)
	return p
}

func neverDirectives(r *reader) *neverPart {
	if r == nil {
		return nil
	}
	m := directivesOf(r)
	match := func(m directivesMatcher) neverMatch {
		return func(_ *client, r *Request) bool { return m.mentions(r) }
	}
	p := &neverPart{key: "directives", subject: "directives", matches: match(m), value: func(r *Request) string {
		names := make([]string, 0, len(r.Directives))
		for _, d := range r.Directives {
			names = append(names, d.Name)
		}
		return strings.Join(names, " ")
	}}
	total := len(m.classes) + len(m.names)
	for _, values := range m.values {
		total += len(values)
	}
	without(p, "directives.classes", m.classes, total-len(m.classes), func(classes []directive.Class) neverMatch {
		return match(directivesMatcher{classes: classes, names: m.names, values: m.values})
	})
	without(p, "directives.names", m.names, total-len(m.names), func(names []string) neverMatch {
		return match(directivesMatcher{classes: m.classes, names: names, values: m.values})
	})
	for _, name := range slices.Sorted(maps.Keys(m.values)) {
		without(p, "directives.values "+name, m.values[name], total-len(m.values[name]), func(lines []string) neverMatch {
			values := maps.Clone(m.values)
			values[name] = lines
			return match(directivesMatcher{classes: m.classes, names: m.names, values: values})
		})
	}
	return p
}

// neverProfiles: without a name the request has the first profile of its rule, which
// the operator chose.
func (c *compiler) neverProfiles(r *reader) *neverPart {
	var names []string
	for _, v := range r.list("profiles") {
		if c.profiles[v.text] == nil {
			r.fail(v.at, "there is no profile %q", v.text)
		}
		names = append(names, v.text)
	}
	if names == nil {
		return nil
	}
	match := func(names []string) neverMatch {
		return func(_ *client, r *Request) bool { return slices.Contains(names, r.Profile) }
	}
	p := &neverPart{key: "profiles", subject: "profile", value: func(r *Request) string { return r.Profile }, matches: match(names)}
	without(p, "profiles", names, 0, match)
	return p
}

func neverLabels(r *reader, cl *client) *neverPart {
	labels := labelsOf(r, cl.LabelPrefix())
	if labels == nil {
		return nil
	}
	match := func(labels []labelMatcher) neverMatch {
		return func(_ *client, r *Request) bool { return labelsMatch(labels, r) == nil }
	}
	p := &neverPart{key: "labels", subject: "labels", matches: match(labels), value: func(r *Request) string {
		return labels[0].name + "=" + r.Labels[labels[0].name]
	}}
	p.all = func(l *rule) bool { return (&rule{labels: labels}).coversLabels(l) }
	for i, label := range labels {
		if len(labels) > 1 {
			p.less = append(p.less, lessPart{"labels without " + label.name, match(cut(labels, i))})
		}
		without(p, "labels "+label.name, label.patterns, 0, func(patterns []pattern) neverMatch {
			fewer := slices.Clone(labels)
			fewer[i].patterns = patterns
			return match(fewer)
		})
	}
	return p
}

func neverDevices(r *reader) *neverPart {
	devices := r.paths("devices")
	if devices == nil {
		return nil
	}
	match := func(devices []string) neverMatch {
		return func(_ *client, r *Request) bool {
			return slices.ContainsFunc(r.Devices, func(d Device) bool { return slices.Contains(devices, d.Path) })
		}
	}
	p := &neverPart{key: "devices", subject: "device", value: deviceNames, matches: match(devices)}
	without(p, "devices", devices, 0, match)
	return p
}

func deviceNames(r *Request) string {
	names := make([]string, 0, len(r.Devices))
	for _, d := range r.Devices {
		names = append(names, d.Path)
	}
	return strings.Join(names, " ")
}

func neverRootfs(r *reader) *neverPart {
	kinds := r.rootfsKinds()
	if kinds == nil {
		return nil
	}
	match := func(kinds []RootfsKind) neverMatch {
		return func(_ *client, r *Request) bool { return slices.Contains(kinds, r.Rootfs.kind()) }
	}
	p := &neverPart{key: "rootfs", subject: "rootfs", value: func(r *Request) string { return string(r.Rootfs.Kind) }, matches: match(kinds)}
	p.all = func(l *rule) bool { return subset(l.files.kinds(), kinds) }
	without(p, "rootfs", kinds, 0, match)
	return p
}
