// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"

	"nomad-systemd-driver/broker/directive"
)

var (
	neverSchema = schema{[]string{"client", "devices", "profiles", "rootfs", "sessions", "users"}, []string{"args", "directives", "exec", "labels"}}
	neverExec   = schema{attributes: []string{"under", "paths"}}
	neverArgs   = schema{attributes: []string{"any"}}
)

// never refuses what all of its parts match, whatever rules say. What a part does
// not mention it matches.
type never struct {
	name  string
	file  string
	line  int
	parts []neverPart
}

// neverPart is one part, as it is called in denials.
type neverPart struct {
	key     string
	subject string
	matches func(c *client, r *Request) bool
	value   func(r *Request) string
}

func (n *never) matches(c *client, r *Request) bool {
	return !slices.ContainsFunc(n.parts, func(p neverPart) bool { return !p.matches(c, r) })
}

func (n *never) denial(r *Request) *Denial {
	return &Denial{
		Subject: n.parts[0].subject, Value: n.parts[0].value(r), Never: n.name,
		Reason: fmt.Sprintf("never %q of the policy forbids it, whatever its rules say; change the task, or ask the operator", n.name),
	}
}

// forbidden is the client's first never that matches, nil if none does.
func (c *client) forbidden(r *Request) *never {
	for _, n := range c.nevers {
		if n.matches(c, r) {
			return n
		}
	}
	return nil
}

func (c *compiler) never(name string, r *reader) {
	n := &never{name: name, file: r.src.name, line: r.src.lineOf(r.head.start)}
	for _, cl := range c.neverClients(r) {
		mine := *n
		mine.parts = c.neverParts(r, cl)
		if len(mine.parts) == 0 {
			r.fail(r.head, "%s would forbid everything; say what, or delete it", r.title)
		}
		cl.nevers = append(cl.nevers, &mine)
	}
}

func (c *compiler) neverClients(r *reader) []*client {
	if !r.has("client") {
		var all []*client
		for _, cl := range c.clients {
			all = append(all, cl)
		}
		return all
	}
	who := r.str("client", `"nomad"`)
	cl := c.clients[who.text]
	if cl == nil {
		r.fail(who.at, "there is no client %q in the policy; add a client block, or correct the name", who.text)
		return nil
	}
	return []*client{cl}
}

func (c *compiler) neverParts(r *reader, cl *client) []neverPart {
	var parts []neverPart
	add := func(key, subject string, value func(*Request) string, matches func(*client, *Request) bool) {
		parts = append(parts, neverPart{key, subject, matches, value})
	}
	if b := r.block("exec", neverExec); b != nil {
		under, paths := b.paths("under"), b.paths("paths")
		if len(under)+len(paths) == 0 {
			b.fail(b.head, "%s needs under or paths", b.title)
		}
		add("exec", "command", func(r *Request) string { return r.Command }, func(_ *client, r *Request) bool {
			return programIn(under, paths, r.Command)
		})
	}
	if b := r.block("args", neverArgs); b != nil {
		patterns := b.patterns("any")
		if len(patterns) == 0 {
			b.fail(b.head, "%s needs any, a list of patterns", b.title)
		}
		add("args", "args", func(*Request) string { return "" }, func(_ *client, r *Request) bool {
			return slices.ContainsFunc(r.Args, func(arg string) bool { return anyMatches(patterns, arg) })
		})
	}
	if r.has("users") {
		uids := map[uint32]bool{}
		for _, v := range r.list("users") {
			u, _ := c.lookUp(r, v)
			uids[u.UID] = true
		}
		add("users", "user", func(r *Request) string { return r.User }, func(cl *client, r *Request) bool {
			return slices.ContainsFunc(cl.rules, func(l *rule) bool {
				u, ok := l.runAs.users[r.User]
				return ok && uids[u.UID]
			})
		})
	}
	if b := r.block("directives", directivesSchema); b != nil {
		m := directivesOf(b)
		add("directives", "directives", func(r *Request) string {
			names := make([]string, 0, len(r.Directives))
			for _, d := range r.Directives {
				names = append(names, d.Name)
			}
			return strings.Join(names, " ")
		}, func(_ *client, r *Request) bool { return slices.ContainsFunc(r.Directives, m.mentions) })
	}
	if all := r.list("profiles"); all != nil {
		forbidden := map[string]bool{}
		for _, v := range all {
			if c.profiles[v.text] == nil {
				r.fail(v.at, "there is no profile %q", v.text)
			}
			forbidden[v.text] = true
		}
		// Without a name the request has the first profile of its rule, which the
		// operator chose.
		add("profiles", "profile", func(r *Request) string { return r.Profile }, func(_ *client, r *Request) bool { return forbidden[r.Profile] })
	}
	if labels := labelsOf(r, cl.LabelPrefix()); labels != nil {
		add("labels", "labels", func(r *Request) string { return labels[0].name + "=" + r.Labels[labels[0].name] },
			func(_ *client, r *Request) bool { return labelsMatch(labels, r) == nil })
	}
	if devices := r.paths("devices"); devices != nil {
		add("devices", "device", deviceNames, func(_ *client, r *Request) bool {
			return slices.ContainsFunc(r.Devices, func(d Device) bool { return slices.Contains(devices, d.Path) })
		})
	}
	if kinds := r.rootfsKinds(); kinds != nil {
		add("rootfs", "rootfs", func(r *Request) string { return string(r.Rootfs.Kind) },
			func(_ *client, r *Request) bool { return slices.Contains(kinds, r.Rootfs.kind()) })
	}
	if r.boolean("sessions") {
		add("sessions", "session", func(r *Request) string { return r.Command }, func(_ *client, r *Request) bool { return r.Session })
	}
	return parts
}

func deviceNames(r *Request) string {
	names := make([]string, 0, len(r.Devices))
	for _, d := range r.Devices {
		names = append(names, d.Path)
	}
	return strings.Join(names, " ")
}

// paths is a list of clean absolute paths.
func (r *reader) paths(name string) []string {
	var all []string
	for _, v := range r.list(name) {
		all = append(all, r.path(v))
	}
	return all
}

// programIn: a name without a directory, as sessions may have, is whichever
// program of that name systemd finds.
func programIn(under, paths []string, command string) bool {
	if fileName(command) {
		return len(under) > 0 || slices.ContainsFunc(paths, func(p string) bool { return strings.HasSuffix(p, "/"+command) })
	}
	return slices.Contains(paths, command) || slices.ContainsFunc(under, func(dir string) bool { return below(dir, command) })
}

func (m *directivesMatcher) mentions(set Directive) bool {
	d, ok := directive.Lookup(set.Name)
	return ok && (slices.Contains(m.names, set.Name) || slices.Contains(m.classes, d.ClassOf(set.Lines)))
}
