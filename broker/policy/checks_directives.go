// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"

	"nomad-systemd-driver/broker/directive"
)

// profile is the profile that a request has under the rule, nil if it may not
// have the one it names.
func (l *rule) profile(r *Request) *Profile {
	if r.Profile == "" && len(l.profiles) > 0 {
		return l.profiles[0]
	}
	for _, p := range l.profiles {
		if p.Name == r.Profile {
			return p
		}
	}
	return nil
}

func profileAllowed(_ *client, l *rule, r *Request) bool { return l.profile(r) != nil }

func profileDenied(c *client, l *rule, r *Request) *Denial {
	names := make([]string, 0, len(l.profiles))
	for _, p := range l.profiles {
		names = append(names, p.Name)
	}
	return &Denial{
		Subject: "profile", Value: r.Profile,
		Reason: fmt.Sprintf("no rule of policy client %q lets this task have this profile, but %s; "+
			"choose another, or ask the operator to add it to profiles of a rule", c.Name, strings.Join(names, ", ")),
	}
}

func directivesAllowed(_ *client, l *rule, r *Request) bool {
	return !slices.ContainsFunc(r.Directives, func(d Directive) bool { return !l.allows(l.profile(r), d) })
}

// allows: what only takes away from what the profile leaves is free. More than
// that needs the directive's class, or its name if the profile sets it too.
func (l *rule) allows(p *Profile, set Directive) bool {
	d, ok := directive.Lookup(set.Name)
	if !ok || d.Refusal() != "" {
		return false
	}
	base := p.lines(set.Name)
	if of, ok := d.ExceptionOf(); ok && len(base) == 0 && len(p.lines(of)) == 0 {
		return true // the request takes away with one hand what it gives with the other
	}
	return slices.Contains(l.directives.names, set.Name) || d.Tightens(base, set.Lines) == nil ||
		len(base) == 0 && slices.Contains(l.directives.classes, d.ClassOf(set.Lines))
}

func directivesDenied(c *client, l *rule, r *Request) *Denial {
	p := l.profile(r)
	for _, set := range r.Directives {
		if l.allows(p, set) {
			continue
		}
		denial := &Denial{Subject: "directive", Value: set.Name + "=" + strings.Join(set.Lines, ", ")}
		d, err := known(set.Name)
		switch base := p.lines(set.Name); {
		case err != nil:
			denial.Reason = err.Error()
		case d.Refusal() != "":
			denial.Reason = "no policy can allow it: " + d.Refusal()
		case len(base) > 0:
			denial.Reason = fmt.Sprintf("profile %q has %s=%s, which a task can only tighten; "+
				"choose another profile, or ask the operator to add %s to directives.names of a rule",
				p.Name, set.Name, strings.Join(base, ", "), set.Name)
		default:
			denial.Reason = fmt.Sprintf("no rule of policy client %q lets a task set this directive, which is of class %s; "+
				"ask the operator to add %s to directives.names, or its class to directives.classes, of a rule",
				c.Name, d.ClassOf(set.Lines), set.Name)
		}
		return denial
	}
	return &Denial{Subject: "directives", Reason: "they are refused"}
}
