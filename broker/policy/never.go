// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"

	"nomad-systemd-driver/broker/directive"
)

var (
	neverSchema = schema{[]string{"capabilities", "client", "devices", "profiles", "rootfs", "sessions", "user_manager", "users"}, []string{"args", "directives", "exec", "labels"}}
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
	matches neverMatch
	value   func(r *Request) string
	// all is whether the part surely matches all that the rule allows; nil for no.
	all func(l *rule) bool
	// less are the part without one of its values each, if it has several.
	less []lessPart
}

type neverMatch func(c *client, r *Request) bool

type lessPart struct {
	change  string
	matches neverMatch
}

func (n *never) matches(c *client, r *Request) bool {
	return !slices.ContainsFunc(n.parts, func(p neverPart) bool { return !p.matches(c, r) })
}

// coversAll is whether n surely forbids all that the rule allows.
func (n *never) coversAll(l *rule) bool {
	return !slices.ContainsFunc(n.parts, func(p neverPart) bool { return p.all == nil || !p.all(l) })
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

// mentions reports whether any directive of r is one of the matcher's.
func (m *directivesMatcher) mentions(r *Request) bool {
	classes := r.classesOf()
	for i, set := range r.Directives {
		if slices.Contains(m.names, set.Name) || classes[i] != "" && slices.Contains(m.classes, classes[i]) ||
			slices.ContainsFunc(set.Lines, func(line string) bool { return slices.Contains(m.values[set.Name], line) }) {
			return true
		}
	}
	return false
}

// asks reports whether r asks for any of the capabilities.
func (m capabilitiesMatcher) asks(r *Request) bool {
	return slices.ContainsFunc(r.Directives, func(set Directive) bool {
		d, ok := directive.Lookup(set.Name)
		return ok && set.Name == ambient && d.AddedCapabilities(nil, set.Lines)&m.mask != 0
	})
}
