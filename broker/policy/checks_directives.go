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

func directivesAllowed(_ *client, l *rule, r *Request) bool { return l.firstRefused(r) == nil }

// firstRefused is the first directive that neither the profile leaves free nor the
// rule allows; nil if there is none.
func (l *rule) firstRefused(r *Request) *guarded {
	all := r.under(l.profile(r)).guarded
	for i := range all {
		if !l.directives.allow(&all[i]) && !l.capabilities.allow(&all[i]) {
			return &all[i]
		}
	}
	return nil
}

// allow: the class is for what the profile does not set, names and values are for all.
func (m *directivesMatcher) allow(g *guarded) bool {
	switch {
	case g.closed:
		return false
	case m.named.has(g.number), g.class != "" && slices.Contains(m.classes, g.class):
		return true
	}
	values := m.values[g.set.Name]
	return len(values) > 0 && subset(g.set.Lines, values)
}

// allow: what is asked for beyond the profile must be among the capabilities.
func (m capabilitiesMatcher) allow(g *guarded) bool {
	return !g.closed && g.adds != 0 && g.adds&^m.mask == 0
}

func directivesDenied(c *client, l *rule, r *Request) *Denial {
	g := l.firstRefused(r)
	if g == nil {
		return &Denial{Subject: "directives", Reason: "they are refused"}
	}
	p, set := l.profile(r), g.set
	denial := &Denial{Subject: "directive", Value: set.Name + "=" + strings.Join(set.Lines, ", ")}
	d, err := known(set.Name)
	switch base := p.lines(set.Name); {
	case err != nil:
		denial.Reason = err.Error()
	case d.Refusal() != "":
		denial.Reason = "no policy can allow it: " + d.Refusal()
		if d.Since != 0 {
			denial.Reason += fmt.Sprintf("; it needs systemd %d", d.Since)
		}
	case g.adds != 0:
		denial.Reason = capabilitiesReason(c, directive.CapabilityNames(g.adds))
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

func capabilitiesReason(c *client, names []string) string {
	for _, name := range names {
		if _, err := directive.Capability(name); err != nil {
			return fmt.Sprintf("no policy can allow %s, with which a task would be as good as root; do without", name)
		}
	}
	return fmt.Sprintf("no rule of policy client %q lets a task have these capabilities; "+
		"do without, or ask the operator to add %s to capabilities of a rule", c.Name, strings.Join(names, ", "))
}
