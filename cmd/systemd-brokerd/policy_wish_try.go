// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"slices"
	"strings"

	"nomad-systemd-driver/broker/directive"
	"nomad-systemd-driver/broker/policy"
)

// rule is the narrowest rule that allows all requests of the wish, or why none does.
// The policy itself says which directives the rule must name.
func (w *wish) rule(host *hostFiles, dir string, n int) (text, denial string, err error) {
	if denial := w.unwritable(); denial != "" {
		return "", denial, nil
	}
	system, err := w.ofTheSystem(host)
	if err != nil {
		return "", "", err
	}
	w.grants = grants{networks: w.asked(), values: map[string][]string{}}
	for {
		text = w.text(n, system)
		p, err := host.readWith(dir, "suggested.hcl", "version = 1\n"+text)
		if loadError, ok := errors.AsType[*policy.LoadError](err); ok && loadError.File == "suggested.hcl" {
			return "", loadError.Problem, nil
		}
		if err != nil {
			return "", "", err
		}
		p, _ = p.IgnoringArgs()
		d := w.denied(p)
		if d == nil {
			return text, "", nil
		}
		if !w.widen(d) {
			return "", d.Error(), nil
		}
	}
}

// ofTheSystem is whether the user is one of the system's own.
func (w *wish) ofTheSystem(host *hostFiles) (bool, error) {
	names, err := host.users()
	if err != nil {
		return false, err
	}
	u, err := names.User(w.user)
	return err == nil && policy.SystemUser(u.UID), nil
}

// widen grants what the denial is about, as narrowly as was not tried yet; false if
// there is nothing left to grant.
func (w *wish) widen(d *policy.Denial) bool {
	switch d.Subject {
	case "network":
		w.networks = with(w.networks, string(policy.NetworkHost))
		before := len(w.networks)
		w.networks = with(w.networks, string(policy.NetworkNone))
		return len(w.networks) > before
	case "env":
		before := len(w.env)
		w.env = with(w.env, d.Value)
		return len(w.env) > before
	case "directive":
		name, _, _ := strings.Cut(d.Value, "=")
		return w.widenDirective(name)
	}
	return false
}

func (w *wish) widenDirective(name string) bool {
	if before := len(w.capabilities); w.addCapabilities(name) && len(w.capabilities) > before {
		return true
	}
	if slices.Contains(w.directives, name) {
		return false
	}
	if w.values[name] == nil {
		lines, written := w.linesOf(name)
		if written {
			w.values[name] = lines
			return true
		}
	}
	delete(w.values, name)
	w.directives = with(w.directives, name)
	return true
}

// addCapabilities adds those that the directive of this name asks for; false if it is
// about none.
func (w *wish) addCapabilities(name string) bool {
	d, ok := directive.Lookup(name)
	if !ok {
		return false
	}
	added := false
	for _, r := range w.requests {
		for _, set := range r.Directives {
			if set.Name != name {
				continue
			}
			for _, capability := range directive.CapabilityNames(d.AddedCapabilities(nil, set.Lines)) {
				if _, err := directive.Capability(capability); err == nil {
					w.capabilities, added = with(w.capabilities, capability), true
				}
			}
		}
	}
	return added
}

// linesOf are all lines of a directive that were asked for; false if a policy cannot
// write them.
func (w *wish) linesOf(name string) (lines []string, written bool) {
	for _, r := range w.requests {
		for _, set := range r.Directives {
			if set.Name != name {
				continue
			}
			for _, line := range set.Lines {
				if strings.ContainsAny(line, "\"\\$%{") || line != oneLine(line) {
					return nil, false
				}
				lines = with(lines, line)
			}
		}
	}
	return lines, len(lines) > 0
}
