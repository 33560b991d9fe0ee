// SPDX-License-Identifier: MPL-2.0

package policy

import "slices"

// Verdict is what one rule says of a request.
type Verdict struct {
	Rule string
	// File and Line are where the rule stands.
	File string
	Line int
	// Denials are the checks that fail, in the order in which they are asked; none
	// if the rule accepts.
	Denials []*Denial
}

// Explanation is a decision with what led to it.
type Explanation struct {
	Client string
	// Decision is set if the request is allowed, Denial if it is not.
	Decision *Decision
	Denial   *Denial
	// Rules are the verdicts of the client's rules: those that accept, and then
	// the nearest miss first. The first check that fails of that one is the Denial,
	// unless a never forbids the request.
	Rules []Verdict
}

// Explain decides as [Policy.Decide] does, and says what each rule makes of the
// request.
func (p *Policy) Explain(peer Peer, r *Request) *Explanation {
	e := &Explanation{}
	d, err := p.Decide(peer, r)
	if err == nil {
		e.Decision = d
	} else {
		e.Denial = denialOf(err)
	}
	c, ok := p.clients[peer.UID]
	if !ok {
		return e
	}
	e.Client = c.Name
	r = r.remembering(c)
	var misses []miss
	for _, l := range c.rules {
		misses = append(misses, missOf(c, l, r, len(checks)))
	}
	slices.SortStableFunc(misses, func(a, b miss) int {
		switch {
		case a.nearer(b):
			return -1
		case b.nearer(a):
			return 1
		}
		return 0
	})
	for _, m := range misses {
		l := m.rule
		v := Verdict{Rule: l.name, File: l.file, Line: l.line}
		for _, check := range checks {
			if !check.accept(c, l, r) {
				v.Denials = append(v.Denials, check.explain(only(c, l), l, r))
			}
		}
		e.Rules = append(e.Rules, v)
	}
	return e
}

// only is c as if l were its one rule, so that a denial speaks of nothing else.
func only(c *client, l *rule) *client {
	one := *c
	one.rules = []*rule{l}
	return &one
}

// denialOf is err, which Decide returned.
func denialOf(err error) *Denial {
	if d, ok := err.(*Denial); ok { //nolint:errorlint // Decide wraps nothing
		return d
	}
	return &Denial{Subject: "request", Reason: err.Error()}
}
