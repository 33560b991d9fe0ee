// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	argsSchema   = schema{attributes: []string{"any", "each", "first", "none"}}
	quotasSchema = schema{attributes: []string{"memory_total", "starts_per_minute", "units"}}

	labelKey = regexp.MustCompile(`\A[A-Z][A-Z0-9_]{0,47}\z`)
)

// The most that a rule can be given.
const (
	maxCPUPercent = 100 * 8192
	maxCPUWeight  = 10000
	maxStarts     = 100000
)

// labelMatcher wants a label to be there and to match one of the patterns.
type labelMatcher struct {
	name     string // with the client's prefix
	patterns []pattern
}

// argsMatcher is what arguments a rule accepts.
type argsMatcher struct {
	first, each []pattern // nil for any
	none        bool
	any         bool // written: no patterns are missing
	unknown     bool // the arguments that were asked for are
}

// bound is whether the matcher, which may be nil, says which arguments there may be.
func (m *argsMatcher) bound() bool { return m != nil && !m.any }

// free is whether the matcher, which may be nil, accepts any arguments.
func (m *argsMatcher) free() bool { return !m.bound() || m.unknown }

// LabelPrefix starts the name of each label of the client's units, so that no
// client can write another's journal fields or the broker's own.
func (c *Client) LabelPrefix() string { return strings.ToUpper(c.UnitPrefix) + "_" }

// labelsOf reads a block whose attributes are names of labels without the prefix.
func labelsOf(r *reader, prefix string) []labelMatcher {
	b := r.open("labels")
	if b == nil {
		return nil
	}
	var all []labelMatcher
	for _, key := range slices.Sorted(maps.Keys(b.body.Attributes)) {
		at := spanOf(b.body.Attributes[key].NameRange)
		if !labelKey.MatchString(key) {
			b.fail(at, "%q is not the name of a label; write it in capitals and without the client's prefix, such as NAMESPACE for %sNAMESPACE", key, prefix)
		}
		if short, ok := strings.CutPrefix(key, prefix); ok {
			b.fail(at, "write %s without the client's prefix, %s", key, short)
		}
		all = append(all, labelMatcher{prefix + key, b.patterns(key)})
	}
	if len(all) == 0 {
		b.fail(b.head, `%s names no label; write one, such as NAMESPACE = ["web", "web-*"], or delete it`, b.title)
	}
	return all
}

// patterns is a list of patterns, nil if it is not written.
func (r *reader) patterns(name string) []pattern {
	var all []pattern
	for _, v := range r.list(name) {
		if strings.Contains(v.text, "**") {
			r.fail(v.at, `%q holds "**"; "*" stands for any characters already`, v.text)
		}
		all = append(all, pattern(v.text))
	}
	return all
}

func argsOf(r *reader) *argsMatcher {
	if r == nil {
		return nil
	}
	m := &argsMatcher{first: r.patterns("first"), each: r.patterns("each"), none: r.boolean("none"), any: r.boolean("any")}
	said := 0
	for _, is := range []bool{m.none, m.any, len(m.first)+len(m.each) > 0} {
		if is {
			said++
		}
	}
	if said != 1 {
		r.fail(r.head, "%s needs one of any = true, none = true, or first and each", r.title)
	}
	return m
}

// networksOf are the networks that tasks may have, nil for the host's and none.
func networksOf(r *reader) []Network {
	var all []Network
	for _, v := range r.list("network") {
		n := Network(v.text)
		if n != NetworkHost && n != NetworkNone && !isNamespacePath(v.text) {
			r.fail(v.at, "%q is not a network; known: host, none, and paths of network namespaces as /run/netns/NAME", v.text)
		}
		all = append(all, n)
	}
	return all
}

// isNamespacePath takes no path in /proc, where a name is soon another process's.
func isNamespacePath(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && p != "/" && !strings.HasPrefix(p+"/", "/proc/")
}

func quotaOf(r *reader, l limits) Quota {
	var q Quota
	if r == nil {
		return q
	}
	if r.has("units") {
		q.Units = int(r.number("units", "10", 1, maxMaxUnits)) //nolint:gosec // at most maxMaxUnits
	}
	if r.has("memory_total") {
		q.MemoryTotal = r.size("memory_total")
		if l.memoryUnlimited {
			r.fail(r.at("memory_total"), "memory_total and limits.memory_unlimited = true contradict each other; delete one")
		}
	}
	if r.has("starts_per_minute") {
		q.StartsPerMinute = int(r.number("starts_per_minute", "30", 1, maxStarts)) //nolint:gosec // at most maxStarts
	}
	if q == (Quota{}) {
		r.fail(r.head, "%s bounds nothing; write units, memory_total or starts_per_minute, or delete it", r.title)
	}
	return q
}
