// SPDX-License-Identifier: MPL-2.0

package policy

var poolSchema = schema{attributes: []string{"first", "count"}}

// maxPool is far more uids than a host has room for units.
const maxPool = 1 << 20

func (c *compiler) pool(name string, r *reader) {
	first := r.number("first", "2100000000", 0, 1<<32-1)
	count := r.number("count", "10000", 1, maxPool)
	if r.err != nil {
		return
	}
	last := first + count - 1
	for _, reserved := range reservedUIDs {
		if first <= uint64(reserved.last) && last >= uint64(reserved.first) {
			r.fail(r.at("first"), "the uids %d to %d reach into %d to %d (%s); choose them from 1879048192 to 2147352575, "+
				"such as first = 2100000000", first, last, reserved.first, reserved.last, reserved.holder)
			return
		}
	}
	p := &Pool{name, uint32(first), uint32(count)} //nolint:gosec // reservedUIDs reaches to the last uint32
	for _, other := range c.pools {
		if p.First <= other.last() && p.last() >= other.First {
			r.fail(r.at("first"), "the uids %d to %d overlap with pool %q (%d to %d); choose others",
				first, last, other.Name, other.First, other.last())
		}
	}
	for _, cl := range c.clients {
		if p.contains(cl.UID) {
			r.fail(r.at("first"), "the uids %d to %d hold the uid of client %q; choose others", first, last, cl.Name)
		}
	}
	if holder := c.names.Taken(p.First, p.last()); holder != "" {
		r.fail(r.at("first"), "the uids %d to %d are not free on this host: %s; choose others", first, last, holder)
	}
	c.pools[name] = p
}

// last is the pool's last uid.
func (p *Pool) last() uint32 { return p.First + p.Count - 1 }

func (p *Pool) contains(uid uint32) bool { return uid >= p.First && uid <= p.last() }
