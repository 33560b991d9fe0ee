// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"nomad-systemd-driver/broker/directive"
)

// TestResult is what one test says.
type TestResult struct {
	Test *Test
	// Problem is what the policy answers instead; empty if the test passes.
	Problem string
}

// Mutant is the policy with one thing taken out of one block.
type Mutant struct {
	Block  string // such as rule "web"
	File   string
	Line   int
	Change string // such as exec.paths without "/usr/bin/env"
	// KilledBy is a test that fails then; empty if none notices.
	KilledBy string
}

// TestReport is the outcome of all tests of a policy.
type TestReport struct {
	Results []TestResult
	Failed  int
	// Mutants are empty if a test fails.
	Mutants []Mutant
}

// RunTests asks the policy all tests. If they pass, it takes each single part out
// of each rule and each never, to see whether a test notices.
func (p *Policy) RunTests(tests []*Test) *TestReport {
	report := &TestReport{}
	for _, t := range tests {
		problem := t.run(p)
		if problem != "" {
			report.Failed++
		}
		report.Results = append(report.Results, TestResult{t, problem})
	}
	if report.Failed > 0 {
		return report
	}
	p.mutants(func(m Mutant, mutated *Policy) {
		for _, t := range tests {
			if t.run(mutated) != "" {
				m.KilledBy = t.Name
				break
			}
		}
		report.Mutants = append(report.Mutants, m)
	})
	return report
}

// mutants hands over each policy that lacks one thing.
func (p *Policy) mutants(try func(Mutant, *Policy)) {
	uids := slices.SortedFunc(maps.Keys(p.clients), func(a, b uint32) int {
		return strings.Compare(p.clients[a].Name, p.clients[b].Name)
	})
	for _, uid := range uids {
		c := p.clients[uid]
		for i, l := range c.rules {
			l.without(func(change string, mutated *rule) {
				one := *c
				one.rules = slices.Clone(c.rules)
				one.rules[i] = mutated
				try(Mutant{Block: fmt.Sprintf("rule %q", l.name), File: l.file, Line: l.line, Change: change}, p.with(uid, &one))
			})
		}
		for i, n := range c.nevers {
			m := Mutant{Block: fmt.Sprintf("never %q", n.name), File: n.file, Line: n.line, Change: "taken out"}
			one := *c
			one.nevers = slices.Delete(slices.Clone(c.nevers), i, i+1)
			try(m, p.with(uid, &one))
			for j, part := range n.parts {
				if len(n.parts) == 1 {
					continue
				}
				wider := *n
				wider.parts = slices.Delete(slices.Clone(n.parts), j, j+1)
				one := *c
				one.nevers = slices.Clone(c.nevers)
				one.nevers[i] = &wider
				m.Change = "without " + part.key
				try(m, p.with(uid, &one))
			}
			for j, part := range n.parts {
				for _, less := range part.less {
					narrower := *n
					narrower.parts = slices.Clone(n.parts)
					narrower.parts[j].matches = less.matches
					one := *c
					one.nevers = slices.Clone(c.nevers)
					one.nevers[i] = &narrower
					m.Change = less.change
					try(m, p.with(uid, &one))
				}
			}
		}
	}
}

// with is p with another client of this uid.
func (p *Policy) with(uid uint32, c *client) *Policy {
	clients := maps.Clone(p.clients)
	clients[uid] = c
	return &Policy{clients: clients, sha256: p.sha256}
}

// without hands over each rule that lacks one thing of l: something it allows, or
// something it asks for.
func (l *rule) without(try func(change string, mutated *rule)) {
	change := func(what string, edit func(*rule)) {
		mutated := *l
		edit(&mutated)
		try(what, &mutated)
	}
	each := func(key string, values []string, edit func(*rule, int)) {
		for i, v := range values {
			change(fmt.Sprintf("%s without %q", key, v), func(m *rule) { edit(m, i) })
		}
	}
	if l.exec.any {
		change("exec without any = true", func(m *rule) { m.exec.any = false })
	}
	each("exec.under", l.exec.under, func(m *rule, i int) { m.exec.under = cut(l.exec.under, i) })
	each("exec.paths", l.exec.paths, func(m *rule, i int) { m.exec.paths = cut(l.exec.paths, i) })
	if l.runAs.dynamic {
		change("run_as without dynamic_user = true", func(m *rule) { m.runAs.dynamic = false })
	}
	users := slices.Sorted(maps.Keys(l.runAs.users))
	each("run_as.users", users, func(m *rule, i int) {
		m.runAs.users = maps.Clone(l.runAs.users)
		delete(m.runAs.users, users[i])
	})
	managers := slices.Sorted(maps.Keys(l.runAs.managers))
	each("run_as.session_users", managers, func(m *rule, i int) {
		m.runAs.managers = maps.Clone(l.runAs.managers)
		delete(m.runAs.managers, managers[i])
	})
	each("log_drivers", texts(l.logs), func(m *rule, i int) { m.logs = cut(l.logs, i) })
	profiles := make([]string, 0, len(l.profiles))
	for _, p := range l.profiles {
		profiles = append(profiles, p.Name)
	}
	if len(profiles) > 1 { // a rule without any does not exist
		each("profiles", profiles, func(m *rule, i int) { m.profiles = cut(l.profiles, i) })
	}
	each("directives.classes", texts(l.directives.classes), func(m *rule, i int) { m.directives.classes = cut(l.directives.classes, i) })
	each("directives.names", l.directives.names, func(m *rule, i int) {
		m.directives.names = cut(l.directives.names, i)
		m.directives.named = setOf(m.directives.names)
	})
	l.withoutValues(change)
	each("capabilities", l.capabilities.names(), func(m *rule, i int) {
		bit, _ := directive.Capability(l.capabilities.names()[i])
		m.capabilities.mask &^= bit
	})
	each("env.names", texts(l.env), func(m *rule, i int) { m.env = cut(l.env, i) })
	if l.sessions {
		change("without sessions = true", func(m *rule) { m.sessions = false })
	}
	each("volumes.read_only", l.volumes.readOnly, func(m *rule, i int) { m.volumes.readOnly = cut(l.volumes.readOnly, i) })
	each("volumes.read_write", l.volumes.readWrite, func(m *rule, i int) { m.volumes.readWrite = cut(l.volumes.readWrite, i) })
	l.withoutFiles(change)
	groups := slices.Sorted(maps.Keys(l.runAs.groups))
	each("run_as.groups", groups, func(m *rule, i int) {
		m.runAs.groups = maps.Clone(l.runAs.groups)
		delete(m.runAs.groups, groups[i])
	})
	l.withoutMatch(change)
	l.withoutLimits(change)
}

func (l *rule) withoutValues(change func(string, func(*rule))) {
	for _, name := range slices.Sorted(maps.Keys(l.directives.values)) {
		for i, v := range l.directives.values[name] {
			change(fmt.Sprintf("directives.values %s without %q", name, v), func(m *rule) {
				m.directives.values = maps.Clone(l.directives.values)
				m.directives.values[name] = cut(l.directives.values[name], i)
			})
		}
	}
}

func (l *rule) withoutFiles(change func(string, func(*rule))) {
	f := l.files
	for i, k := range f.rootfs {
		if len(f.rootfs) > 1 { // a rule without any has the minimal one
			change(fmt.Sprintf("rootfs without %q", k), func(m *rule) { m.files.rootfs = cut(f.rootfs, i) })
		}
	}
	for i, image := range f.images {
		change(fmt.Sprintf("images without %q", image), func(m *rule) { m.files.images = cut(f.images, i) })
	}
	if f.requireSignature {
		change("without require_signature = true", func(m *rule) { m.files.requireSignature = false })
	}
	for i, d := range f.devices {
		change(fmt.Sprintf("devices without %q", d), func(m *rule) { m.files.devices = cut(f.devices, i) })
	}
}

// cut is s without one value; it is never nil, which means any in some places.
func cut[T any](s []T, i int) []T { return append(append(make([]T, 0, len(s)), s[:i]...), s[i+1:]...) }

func texts[T ~string](s []T) []string {
	all := make([]string, 0, len(s))
	for _, v := range s {
		all = append(all, string(v))
	}
	return all
}
