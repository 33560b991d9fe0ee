// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"slices"

	"nomad-systemd-driver/broker/directive"
)

// memo keeps, for the time of one decision, what of a request is the same for all
// rules with one profile: directives are parsed once, not for each of a thousand rules.
type memo struct {
	profiles map[*Profile]*underProfile
	last     *underProfile     // that was asked for
	classes  []directive.Class // see classesOf
	env      []string          // see guardedEnv
	envRead  bool
	// command and directories are what their checks ask whatever the rule is.
	command     bool
	directories bool
}

// underProfile is what a request's directives are together with a profile.
type underProfile struct {
	profile *Profile
	// guarded are those that are not free, as the profile leaves them.
	guarded []guarded
	network Network
	// cpuQuota is how much of a second of one CPU the unit gets in a second, in
	// microseconds; 0 if there is no limit that can be read.
	cpuQuota uint64
	// startupCPUWeight is 0 if it is not set.
	startupCPUWeight uint64
}

// guarded is a directive that only a rule can allow.
type guarded struct {
	set    Directive
	number int // see directiveSet
	// class is empty if none helps: the profile sets the directive, or no policy
	// can allow it.
	class directive.Class
	// adds are the capabilities that it gives beyond those of the profile.
	adds uint64
	// closed is set if no policy can allow it.
	closed bool
}

// remembering is r with a memo of its own, for rules of c.
func (r *Request) remembering(c *client) *Request {
	with := *r
	with.memo = &memo{
		profiles: map[*Profile]*underProfile{},
		command:  commandPossible(r), directories: directoriesAllowed(c, nil, r),
	}
	return &with
}

// under is what the request's directives are with the profile.
func (r *Request) under(p *Profile) *underProfile {
	if r.memo == nil {
		return newUnderProfile(p, r)
	}
	if u := r.memo.last; u != nil && u.profile == p {
		return u
	}
	u := r.memo.profiles[p]
	if u == nil {
		u = newUnderProfile(p, r)
		r.memo.profiles[p] = u
	}
	r.memo.last = u
	return u
}

func newUnderProfile(p *Profile, r *Request) *underProfile {
	u := &underProfile{profile: p, network: NetworkHost}
	for _, set := range r.Directives {
		if g, free := guard(p, set); !free {
			u.guarded = append(u.guarded, g)
		}
	}
	for _, v := range valuesOf(p, r, "PrivateNetwork") {
		if private, ok := v.Value.Value.Value().(bool); ok && private {
			u.network = NetworkNone
		}
	}
	for _, v := range valuesOf(p, r, "CPUQuota") {
		u.cpuQuota, _ = v.Value.Value.Value().(uint64)
	}
	for _, v := range valuesOf(p, r, "StartupCPUWeight") {
		u.startupCPUWeight, _ = v.Value.Value.Value().(uint64)
	}
	return u
}

// guard says what a directive takes of a rule. What only takes away from what the
// profile leaves is free.
func guard(p *Profile, set Directive) (g guarded, free bool) {
	g.set, g.number = set, directiveNumbers[set.Name]
	d, ok := directive.Lookup(set.Name)
	if !ok || d.Refusal() != "" {
		g.closed = true
		return g, false
	}
	base := p.lines(set.Name)
	if of, ok := d.ExceptionOf(); ok && len(base) == 0 && len(p.lines(of)) == 0 {
		return g, true // the request takes away with one hand what it gives with the other
	}
	if d.Tightens(base, set.Lines) == nil {
		return g, true
	}
	if len(base) == 0 {
		g.class = d.ClassOf(set.Lines)
	}
	g.adds = d.AddedCapabilities(base, set.Lines)
	return g, false
}

// valuesOf are what the profile and the request's lines make of one directive.
// Whatever cannot be read is none.
func valuesOf(p *Profile, r *Request, name string) []directive.Setting {
	d, ok := directive.Lookup(name)
	if p == nil || !ok {
		return nil
	}
	lines := p.lines(name)
	for _, set := range r.Directives {
		if set.Name == name {
			lines = slices.Concat(lines, set.Lines)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	values, err := d.Settings(lines)
	if err != nil {
		return nil
	}
	return values
}

// classesOf are the classes of the request's directives, in their order; empty for
// those that there are not.
func (r *Request) classesOf() []directive.Class {
	if r.memo != nil && r.memo.classes != nil {
		return r.memo.classes
	}
	classes := make([]directive.Class, len(r.Directives))
	for i, set := range r.Directives {
		if d, ok := directive.Lookup(set.Name); ok {
			classes[i] = d.ClassOf(set.Lines)
		}
	}
	if r.memo != nil {
		r.memo.classes = classes
	}
	return classes
}

// directiveSet is a set of directives by their numbers.
type directiveSet [8]uint64

// directiveNumbers begin at 1: 0 is of those that there are not.
var directiveNumbers = func() map[string]int {
	all := map[string]int{}
	for i, d := range directive.All() {
		all[d.Name] = i + 1
	}
	return all
}()

func (s *directiveSet) has(n int) bool {
	return s != nil && n > 0 && n < 64*len(s) && s[n/64]&(1<<(n%64)) != 0
}

func setOf(names []string) *directiveSet {
	var s directiveSet
	for _, name := range names {
		if n := directiveNumbers[name]; n < 64*len(s) {
			s[n/64] |= 1 << (n % 64)
		}
	}
	return &s
}
