// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"os"
	"strconv"

	"nomad-systemd-driver/broker/mounts"
	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/unit"
)

// mapTo is the user to whom the directories of r's unit are mapped, so that all it
// makes belongs to the client on disk; nil if they are not. A user of the host is
// known. An ephemeral one is allocated when the mounts are there already: by the
// name of the user systemd tries one uid first, and takes another, at random, only if
// somebody has that one. What runs beside a unit is mapped as the unit is, which is
// kept in the unit (fieldMapped).
func (s *Server) mapTo(r *record, d *policy.Decision, parent *record) *mounts.User {
	group, own := d.Group()
	if u, ok := d.User(); ok {
		if !own {
			group.GID = u.GID
		}
		return &mounts.User{UID: u.UID, GID: group.GID}
	}
	if parent != nil {
		r.mapped = parent.mapped
	} else if uid := unit.DynamicUID(unit.DynamicUserName(d.Client().UnitPrefix, r.id)); !allocated(uid) {
		r.mapped = uid
	}
	if r.mapped == 0 {
		return nil
	}
	if !own {
		group.GID = r.mapped
	}
	return &mounts.User{UID: r.mapped, GID: group.GID}
}

// allocated reports whether systemd has given uid to somebody.
func allocated(uid uint32) bool {
	_, err := os.Lstat("/run/systemd/dynamic-uid/" + strconv.FormatUint(uint64(uid), 10))
	return err == nil
}
