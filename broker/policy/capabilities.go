// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"strings"

	"nomad-systemd-driver/broker/directive"
)

// ambient is the directive by which a program gets capabilities.
const ambient = "AmbientCapabilities"

// capabilitiesMatcher allows capabilities in AmbientCapabilities= and
// CapabilityBoundingSet=.
type capabilitiesMatcher struct{ mask uint64 }

func (m capabilitiesMatcher) names() []string { return directive.CapabilityNames(m.mask) }

// capabilitiesOf is the list called capabilities.
func capabilitiesOf(r *reader) capabilitiesMatcher {
	var m capabilitiesMatcher
	for _, v := range r.list("capabilities") {
		bit, err := directive.Capability(v.text)
		if err != nil {
			r.fail(v.at, "%v", err)
		}
		m.mask |= bit
	}
	return m
}

func neverCapabilities(r *reader) *neverPart {
	m := capabilitiesOf(r)
	if m.mask == 0 {
		return nil
	}
	match := func(names []string) neverMatch {
		var m capabilitiesMatcher
		for _, name := range names {
			bit, _ := directive.Capability(name)
			m.mask |= bit
		}
		return func(_ *client, r *Request) bool { return m.asks(r) }
	}
	p := &neverPart{
		key: "capabilities", subject: "capabilities", matches: match(m.names()),
		value: func(*Request) string { return strings.Join(m.names(), " ") },
	}
	without(p, "capabilities", m.names(), 0, match)
	return p
}
