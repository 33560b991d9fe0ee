// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Network is what a unit sees of the network: one of these, or a network namespace of
// the host by its path.
type Network string

// The networks there are.
const (
	NetworkHost Network = "host" // that of the host
	NetworkNone Network = "none" // nothing but a loopback of its own
)

// labelsAllowed: labels are claims of the client, and absent ones match nothing.
func labelsAllowed(_ *client, l *rule, r *Request) bool { return labelsMatch(l.labels, r) == nil }

// labelsMatch is the first of the matchers that does not match, nil if none.
func labelsMatch(matchers []labelMatcher, r *Request) *labelMatcher {
	for i, m := range matchers {
		value, ok := r.Labels[m.name]
		if !ok || !anyMatches(m.patterns, value) {
			return &matchers[i]
		}
	}
	return nil
}

func labelsDenied(c *client, l *rule, r *Request) *Denial {
	d := &Denial{Subject: "labels"}
	d.Reason = fmt.Sprintf("no rule of policy client %q is for this; run it where a rule is for it, "+
		"or ask the operator to add the value to labels of a rule", c.Name)
	if m := labelsMatch(l.labels, r); m != nil {
		d.Value = m.name + "=" + r.Labels[m.name]
	}
	return d
}

// argsAllowed: what a session is told, its caller could tell any program.
func argsAllowed(_ *client, l *rule, r *Request) bool {
	return r.Session || l.args.free() || l.args.refused(r.Args) < 0
}

// refused is the index of the first argument that is not accepted, len(args) if
// one is missing, -1 if all are.
func (m *argsMatcher) refused(args []string) int {
	for i, arg := range args {
		if m.none || i == 0 && m.first != nil && !accepts(m.first, arg) ||
			m.each != nil && !accepts(m.each, arg) && (i > 0 || m.first == nil) {
			return i
		}
	}
	if m.first != nil && len(args) == 0 {
		return 0
	}
	return -1
}

// accepts keeps "*" within the directory that stands before it.
func accepts(patterns []pattern, arg string) bool {
	return slices.Contains(patterns, pattern(arg)) && !strings.Contains(arg, "*") || anyMatches(patterns, arg) && !leavesPath(arg)
}

func argsDenied(c *client, l *rule, r *Request) *Denial {
	// Arguments may be secret, and denials are logged.
	d := &Denial{Subject: "args", Value: "none"}
	if i := l.args.refused(r.Args); i < len(r.Args) {
		d.Value = fmt.Sprintf("argument %d", i+1)
	}
	d.Reason = fmt.Sprintf("no rule of policy client %q lets a task run this program with these arguments; "+
		"change them, or ask the operator to extend args of a rule", c.Name)
	return d
}

// networkAllowed: a namespace must be listed, and cannot be had with a profile or
// directive that takes the network away.
func networkAllowed(_ *client, l *rule, r *Request) bool {
	if r.NetworkNamespace != "" && l.ownNetwork(r) == NetworkNone {
		return false
	}
	return l.networks == nil && r.NetworkNamespace == "" || slices.Contains(l.networks, l.network(r))
}

// network is what the unit sees.
func (l *rule) network(r *Request) Network {
	if r.NetworkNamespace != "" {
		return Network(r.NetworkNamespace)
	}
	return l.ownNetwork(r)
}

// ownNetwork is what the unit sees by its profile and directives. Whatever cannot be
// read counts as the host's.
func (l *rule) ownNetwork(r *Request) Network { return r.under(l.profile(r)).network }

func networkDenied(c *client, l *rule, r *Request) *Denial {
	if r.NetworkNamespace != "" {
		return &Denial{
			Subject: "network", Value: r.NetworkNamespace,
			Reason: fmt.Sprintf(`no rule of policy client %q lets this task run in this network namespace; `+
				`ask the operator to add its path to network of a rule, and use a profile without PrivateNetwork=yes`, c.Name),
		}
	}
	return &Denial{
		Subject: "network", Value: string(l.network(r)),
		Reason: fmt.Sprintf(`no rule of policy client %q lets this task have this network; `+
			`set network to another value ("none" is PrivateNetwork=yes), or ask the operator to add it to network of a rule`, c.Name),
	}
}

func cpuAllowed(_ *client, l *rule, r *Request) bool {
	return cpuWeightFits(l, r) && cpuQuotaFits(l, r)
}

func cpuWeightFits(l *rule, r *Request) bool {
	return l.limits.cpuWeight == 0 || cpuWeight(l, r) <= l.limits.cpuWeight
}

// cpuWeight is the request's, or else the one that systemd gives; that of the time
// in which the host starts, if it is higher.
func cpuWeight(l *rule, r *Request) uint64 {
	weight := r.Resources.CPUWeight
	if weight == 0 {
		weight = 100
	}
	return max(weight, r.under(l.profile(r)).startupCPUWeight)
}

func cpuQuotaFits(l *rule, r *Request) bool {
	const usecPerPercent = 10000 // of a second of one CPU
	if l.limits.cpuPercent == 0 {
		return true
	}
	quota := r.under(l.profile(r)).cpuQuota
	return quota > 0 && quota <= l.limits.cpuPercent*usecPerPercent
}

func cpuDenied(_ *client, l *rule, r *Request) *Denial {
	if !cpuWeightFits(l, r) {
		return &Denial{
			Subject: "resources", Value: fmt.Sprintf("cpu_weight %d", cpuWeight(l, r)),
			Reason: fmt.Sprintf("a task may have a CPU weight of at most %d here; ask for less cpu or set cpu_weight, "+
				"or ask the operator to raise limits.cpu_weight of a rule", l.limits.cpuWeight),
		}
	}
	return &Denial{
		Subject: "resources", Value: "CPUQuota",
		Reason: fmt.Sprintf("a task must have a limit of CPU time of at most %d percent of one CPU here; set cpu_hard_limit or CPUQuota, "+
			"or ask the operator to raise limits.cpu_percent of a rule", l.limits.cpuPercent),
	}
}
