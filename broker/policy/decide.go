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
	if n := c.forbidden(r); n != nil {
		return nil, n.denial(r)
	}
	if len(c.rules) == 0 {
		return nil, noRule(c, r)
	}
	nearest, furthest := c.rules[0], 0
	for _, l := range c.rules {
		failed := firstFailure(c, l, r)
		if failed == len(checks) {
			return decide(p, c, l, r)
		}
		if failed > furthest {
			nearest, furthest = l, failed
		}
	}
	return nil, checks[furthest].explain(c, nearest, r)
}

// notItsUnit denies what a client asks from elsewhere than its service.
func notItsUnit(c *client, peer Peer) *Denial {
	return &Denial{
		Subject: "client", Value: peer.Unit,
		Reason: fmt.Sprintf("policy client %q must connect from its own service, and the kernel does not say that it did (it can since Linux 6.5); "+
			"ask the operator to correct or delete unit of the client", c.Name),
	}
}

// noRule denies what a client without rules asks for.
func noRule(c *client, r *Request) *Denial {
	return commandDenied(c, &rule{}, r)
}

// firstFailure is the index of the first check that refuses, len(checks) if none does.
func firstFailure(c *client, l *rule, r *Request) int {
	for i := range checks {
		if !checks[i].accept(c, l, r) {
			return i
		}
	}
	return len(checks)
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
