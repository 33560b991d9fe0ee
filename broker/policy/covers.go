// SPDX-License-Identifier: MPL-2.0

package policy

import "slices"

// covers is whether l surely accepts all that other accepts. It may say no where
// the answer is yes.
func (l *rule) covers(other *rule) bool {
	return l.args.equal(other.args, true) && l.coversLabels(other) && l.coversExec(other) && l.coversRights(other) && l.coversLimits(other)
}

// equal is whether both accept the same, or m is free and that will do.
func (m *argsMatcher) equal(other *argsMatcher, freeWillDo bool) bool {
	if !m.bound() {
		return freeWillDo || !other.bound()
	}
	return other.bound() && m.none == other.none && slices.Equal(m.first, other.first) && slices.Equal(m.each, other.each)
}

func (l *rule) coversLabels(other *rule) bool {
	for _, m := range l.labels {
		if !slices.ContainsFunc(other.labels, func(o labelMatcher) bool { return o.name == m.name && subset(o.patterns, m.patterns) }) {
			return false
		}
	}
	return true
}

func (l *rule) coversExec(other *rule) bool {
	if other.exec.any && !l.exec.any {
		return false
	}
	for _, dir := range other.exec.under {
		if !l.exec.any && !slices.ContainsFunc(l.exec.under, func(d string) bool { return d == dir || below(d, dir) }) {
			return false
		}
	}
	for _, file := range other.exec.paths {
		if !programAllowed(l, &Request{Command: file}) {
			return false
		}
	}
	return true
}

// holds is whether each of the places is one of dirs, or below one.
func holds(dirs, places []string) bool {
	return !slices.ContainsFunc(places, func(p string) bool {
		return !slices.ContainsFunc(dirs, func(dir string) bool { return p == dir || below(dir, p) })
	})
}

func (l *rule) coversRights(other *rule) bool {
	if l.requireIdentity && !other.requireIdentity || l.files.requireSignature && !other.files.requireSignature || other.runAs.dynamic && !l.runAs.dynamic || other.sessions && !l.sessions {
		return false
	}
	if !holds(l.volumes.readWrite, other.volumes.readWrite) ||
		!holds(slices.Concat(l.volumes.readOnly, l.volumes.readWrite), other.volumes.readOnly) {
		return false
	}
	if !subset(other.files.kinds(), l.files.kinds()) || !holds(l.files.images, other.files.images) || !subset(other.files.devices, l.files.devices) {
		return false
	}
	for name := range other.runAs.groups {
		if _, ok := l.runAs.groups[name]; !ok {
			return false
		}
	}
	for name := range other.runAs.users {
		if _, ok := l.runAs.users[name]; !ok || other.runAs.managers[name] && !l.runAs.managers[name] {
			return false
		}
	}
	// Which directives are free depends on the profile, and the first is for jobs
	// that name none.
	return slices.Equal(l.profiles, other.profiles) && subset(other.logs, l.logs) &&
		l.directives.covers(&other.directives) && l.capabilities.covers(other.capabilities, &l.directives) && subset(other.env, l.env) &&
		(l.networks == nil && subset(other.networks, []Network{NetworkHost, NetworkNone}) || other.networks != nil && subset(other.networks, l.networks))
}

func (m *directivesMatcher) covers(other *directivesMatcher) bool {
	for name, values := range other.values {
		if !slices.Contains(m.names, name) && !subset(values, m.values[name]) {
			return false
		}
	}
	return subset(other.classes, m.classes) && subset(other.names, m.names)
}

func (m capabilitiesMatcher) covers(other capabilitiesMatcher, any *directivesMatcher) bool {
	return other.mask&^m.mask == 0 || subset([]string{ambient, "CapabilityBoundingSet"}, any.names)
}

func (l *rule) coversLimits(other *rule) bool {
	a, b := l.limits, other.limits
	memory := a.memoryUnlimited || !b.memoryUnlimited && b.memoryMax <= a.memoryMax
	atMost := func(a, b uint64) bool { return a == 0 || b != 0 && b <= a }
	return memory && b.tasksMax <= a.tasksMax && b.credentialsMax <= a.credentialsMax && atMost(a.cpuPercent, b.cpuPercent) && atMost(a.cpuWeight, b.cpuWeight) && l.quota == (Quota{})
}

func subset[T comparable](some, all []T) bool {
	return !slices.ContainsFunc(some, func(v T) bool { return !slices.Contains(all, v) })
}
