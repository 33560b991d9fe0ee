// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"slices"
)

func (l *rule) withoutMatch(change func(string, func(*rule))) {
	if l.requireIdentity {
		change("without require_identity = true", func(m *rule) { m.requireIdentity = false })
	}
	for i, label := range l.labels {
		change("labels without "+label.name, func(m *rule) { m.labels = cut(l.labels, i) })
		for j, p := range label.patterns {
			change(fmt.Sprintf("labels %s without %q", label.name, p), func(m *rule) {
				m.labels = slices.Clone(l.labels)
				m.labels[i].patterns = cut(label.patterns, j)
			})
		}
	}
	if l.networks != nil {
		change("without network", func(m *rule) { m.networks = nil })
		for i, n := range l.networks {
			change(fmt.Sprintf("network without %q", n), func(m *rule) { m.networks = cut(l.networks, i) })
		}
	}
	if l.args.free() {
		return
	}
	change("without args", func(m *rule) { m.args = nil })
	args := func(what string, edit func(*argsMatcher)) {
		change(what, func(m *rule) {
			edited := *l.args
			edit(&edited)
			m.args = &edited
		})
	}
	for i, p := range l.args.first {
		args(fmt.Sprintf("args.first without %q", p), func(m *argsMatcher) { m.first = cut(l.args.first, i) })
	}
	for i, p := range l.args.each {
		args(fmt.Sprintf("args.each without %q", p), func(m *argsMatcher) { m.each = cut(l.args.each, i) })
	}
}

func (l *rule) withoutLimits(change func(string, func(*rule))) {
	lim := l.limits
	if lim.memoryUnlimited {
		change("limits without memory_unlimited = true", func(m *rule) { m.limits.memoryUnlimited = false })
	} else if lim.memoryMax != defaultMemoryMax {
		change("limits without memory_max", func(m *rule) { m.limits.memoryMax = maxMemoryMax })
	}
	if lim.tasksMax != defaultTasksMax {
		change("limits without tasks_max", func(m *rule) { m.limits.tasksMax = maxTasksMax })
	}
	if lim.credentialsMax != maxCredentials {
		change("limits without credentials_max", func(m *rule) { m.limits.credentialsMax = maxCredentials })
	}
	for _, q := range []struct {
		key string
		is  bool
		cut func(*Quota)
	}{
		{"units", l.quota.Units > 0, func(q *Quota) { q.Units = 0 }},
		{"memory_total", l.quota.MemoryTotal > 0, func(q *Quota) { q.MemoryTotal = 0 }},
		{"starts_per_minute", l.quota.StartsPerMinute > 0, func(q *Quota) { q.StartsPerMinute = 0 }},
	} {
		if q.is {
			change("quotas without "+q.key, func(m *rule) { q.cut(&m.quota) })
		}
	}
	if lim.cpuPercent != 0 {
		change("limits without cpu_percent", func(m *rule) { m.limits.cpuPercent = 0 })
	}
	if lim.cpuWeight != 0 {
		change("limits without cpu_weight", func(m *rule) { m.limits.cpuWeight = 0 })
	}
}
