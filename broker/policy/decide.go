// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"strconv"
)

// Decide says whether the peer may have what it asks for: exactly if no never
// forbids it, and some single rule of the peer's client accepts the whole request. If several do,
// the first by name is taken, so that the order of rules and files never
// matters. The error is always a [*Denial]; it speaks of the rule that came
// nearest.
func (p *Policy) Decide(peer Peer, r *Request) (*Decision, error) {
	c, ok := p.clients[peer.UID]
	if !ok {
		return nil, &Denial{
			Subject: "client", Value: "uid " + strconv.FormatUint(uint64(peer.UID), 10),
			Reason: "the policy names no client with this uid; ask the operator to add a client block for its user",
		}
	}
	if c.Unit != "" && peer.Unit != c.Unit {
		return nil, notItsUnit(c, peer)
	}
	r = r.remembering(c)
	if n := c.forbidden(r); n != nil {
		return nil, n.denial(r)
	}
	if len(c.rules) == 0 {
		return nil, noRule(c, r)
	}
	nearest := missOf(c, c.rules[0], r, len(checks))
	for _, l := range c.rules {
		m := missOf(c, l, r, nearest.failed)
		if m.failed == 0 {
			return decide(p, c, l, r)
		}
		if m.nearer(nearest) {
			nearest = m
		}
	}
	return nil, checks[nearest.first].explain(c, nearest.rule, r)
}

// notItsUnit denies what a client asks from elsewhere than its service.
func notItsUnit(c *client, peer Peer) *Denial {
	d := &Denial{Subject: "client", Value: peer.Unit}
	if peer.Unit == "" {
		d.Reason = fmt.Sprintf("policy client %q must connect from its own service, and it cannot be told from which this is: "+
			"the process is in no service, or has ended, or the kernel does not say (Linux 6.5 does); "+
			"ask the operator to correct or delete unit of the client", c.Name)
		return d
	}
	d.Reason = fmt.Sprintf("policy client %q must connect from its own service, and this is another; "+
		"ask the operator to correct or delete unit of the client", c.Name)
	return d
}

// noRule denies what a client without rules asks for.
func noRule(c *client, r *Request) *Denial {
	return commandDenied(c, &rule{}, r)
}

// miss is how far a rule is from allowing a request.
type miss struct {
	rule *rule
	// failed is how many checks refuse, first the index of the first of them.
	failed, first int
}

// nearer: the fewest refusals, and of as many those that come last; else the first by name.
func (m miss) nearer(other miss) bool {
	return m.failed < other.failed || m.failed == other.failed && m.first > other.first
}

// missOf counts refusals until there are more than most.
func missOf(c *client, l *rule, r *Request, most int) miss {
	m := miss{rule: l}
	for i := range checks {
		if checks[i].accept(c, l, r) {
			continue
		}
		if m.failed == 0 {
			m.first = i
		}
		if m.failed++; m.failed > most {
			break
		}
	}
	return m
}

// decide makes the decision to allow r by the rule l.
func decide(p *Policy, c *client, l *rule, r *Request) (*Decision, error) {
	profile := l.profile(r)
	values, err := resolve(profile, r.Directives)
	if err != nil {
		return nil, &Denial{Subject: "directives", Reason: err.Error()}
	}
	d := &Decision{
		profile: profile.Name, values: values,
		rule: l.name, sha256: p.sha256, client: c.Client, request: r.clone(),
		tasksMax: r.Resources.TasksMax, groups: l.groupsOf(r), credentialsMax: l.limits.credentialsMax, quota: l.quota,
	}
	if r.UserManager {
		d.managerLimits = managerLimits(profile, d.request)
	}
	if d.tasksMax == 0 {
		d.tasksMax = l.limits.tasksMax
	}
	if r.User == "" {
		return d, nil
	}
	u := l.runAs.users[r.User]
	d.user = &u
	return d, nil
}
