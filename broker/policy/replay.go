// SPDX-License-Identifier: MPL-2.0

package policy

import "slices"

// IgnoringArgs is the policy without what it says of arguments, for requests that
// were recorded without them, and whether it says anything.
func (p *Policy) IgnoringArgs() (without *Policy, said bool) {
	without = &Policy{clients: make(map[uint32]*client, len(p.clients)), sha256: p.sha256}
	for uid, c := range p.clients {
		one := *c
		one.rules = slices.Clone(c.rules)
		for i, l := range c.rules {
			if !l.args.free() {
				said = true
				free := *l
				free.args = &argsMatcher{unknown: true}
				one.rules[i] = &free
			}
		}
		one.nevers = slices.DeleteFunc(slices.Clone(c.nevers), func(n *never) bool {
			return slices.ContainsFunc(n.parts, func(p neverPart) bool { return p.key == "args" })
		})
		said = said || len(one.nevers) < len(c.nevers)
		without.clients[uid] = &one
	}
	return without, said
}
