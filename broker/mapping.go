// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"nomad-systemd-driver/broker/mounts"
	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/unit"
	"nomad-systemd-driver/broker/users"
)

// maxNames is how many names are tried for an ephemeral user: enough that one uid that
// is free among all that are taken is found.
const maxNames = 6 * unit.DynamicUIDs

// ownership is whose on disk is what a unit makes in its directories. All that runs in
// them must agree, or what one makes belongs to nobody in the view of the other.
type ownership string

const (
	ofClient ownership = "mapped"
	ofUser   ownership = "unmapped"
)

// settle notes whose what r makes is. It refuses to run beside a unit what would not be
// mapped as the unit is; the unit was started when the host could do that.
func (r *record) settle(unmapped bool) error {
	switch {
	case !unmapped:
		r.ownership = cmp.Or(r.ownership, ofClient)
	case r.ownership == ofClient:
		return &startError{"the directories of the unit are mapped to its user, and for a session beside it they cannot be now: " +
			"the host has no user namespace left (sysctl user.max_user_namespaces). Let it have more, or start the unit anew"}
	default:
		r.ownership = ofUser
	}
	return nil
}

// mapTo is the user to whom the directories of r's unit are mapped, so that all it
// makes belongs to the client on disk; nil if they are not: what runs beside a unit is
// mapped as the unit is, and some units of earlier brokers are not.
func mapTo(r *record, d *policy.Decision) *mounts.User {
	if r.ownership == ofUser {
		return nil
	}
	group, own := d.Group()
	if u, ok := d.User(); ok {
		if !own {
			group.GID = u.GID
		}
		return &mounts.User{UID: u.UID, GID: group.GID}
	}
	if r.mapped == 0 {
		return nil
	}
	if !own {
		group.GID = r.mapped
	}
	return &mounts.User{UID: r.mapped, GID: group.GID}
}

// nameUser gives r the name and the uid of its ephemeral user, if it is to have one.
// The mounts need the uid before systemd has allocated it. By the name systemd tries
// one uid first, and takes another, at random, if somebody has that one: so the name is
// one whose uid is free. What runs beside a unit has the unit's user.
func (s *Server) nameUser(r *record, d *policy.Decision, parent *record) error {
	if _, ok := d.User(); ok {
		return nil
	}
	if parent != nil {
		s.units.beUser(r, parent.dynamic, parent.mapped)
		return nil
	}
	host, err := users.Read("/etc/passwd", "/etc/group")
	if err != nil {
		host = &users.Users{} // systemd looks again
	}
	for salt := range maxNames {
		name := unit.DynamicUserName(d.Client().UnitPrefix, r.id, salt)
		uid := unit.DynamicUID(name)
		if !s.allocated(uid) && !host.Has(uid) && s.units.claimUser(r, name, uid) {
			return nil
		}
	}
	return &quotaError{fmt.Sprintf("all %d uids that systemd has for tasks without a user (%s) are taken; stop tasks, or set user to one that the policy allows",
		unit.DynamicUIDs, unit.DynamicRange)}
}

// allocated reports whether systemd has given uid to somebody.
func (s *Server) allocated(uid uint32) bool {
	_, err := os.Lstat(filepath.Join(s.dynamicUIDs, strconv.FormatUint(uint64(uid), 10)))
	return err == nil
}

// claimUser makes r the unit of an ephemeral user, unless another has its uid or is on
// the way to get it.
func (g *registry) claimUser(r *record, name string, uid uint32) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.avoided[uid] || g.hasLocked(uid) {
		return false
	}
	r.dynamic, r.mapped = name, uid
	return true
}

// has reports whether uid is a unit's ephemeral one, or on the way to be.
func (g *registry) has(uid uint32) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hasLocked(uid)
}

func (g *registry) hasLocked(uid uint32) bool {
	for _, other := range g.byUnit {
		if other.mapped == uid || other.dynamic != "" && unit.DynamicUID(other.dynamic) == uid {
			return true
		}
	}
	return false
}

func (g *registry) beUser(r *record, name string, uid uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r.dynamic, r.mapped = name, uid
}

// avoid notes that systemd does not give uid to units, for a reason that the broker does
// not see: a user of a network directory, a piece of shared memory.
func (g *registry) avoid(uid uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.avoided[uid] = true
}
