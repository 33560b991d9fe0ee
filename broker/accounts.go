// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"slices"
	"strings"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/broker/unit"
)

// home is the home directory of a unit's user, in the unit's view.
const home = "/local"

// nobody is the uid and the gid that stand for all that a view does not map.
const nobody = 65534

// account is the user and the groups that a unit runs as. Its view has a passwd
// and a group file with these, root and nobody, and nobody else of the host.
type account struct {
	user    string
	uid     uint32
	groups  []policy.Group // the first is the primary one
	dynamic bool           // uid is what systemd is expected to allocate
}

// accountOf is the account of the unit of d, or of a session beside parent.
func (s *Server) accountOf(d *policy.Decision, h unit.Host, parent *record) account {
	a := account{user: unit.UserName(d, h)}
	u, fixed := d.User()
	if fixed {
		a.uid, a.groups = u.UID, append([]policy.Group{{Name: u.GroupName, GID: u.GID}}, u.Groups...)
	} else {
		a.dynamic, a.uid = true, unit.DynamicUID(a.user)
		if uid := s.units.uid(parent); uid != systemd.NoUID {
			a.uid = uid
		}
		a.groups = []policy.Group{{Name: a.user, GID: a.uid}}
	}
	if g, ok := d.Group(); ok {
		a.groups[0] = g
	}
	a.groups = append(a.groups, d.SupplementaryGroups()...)
	return a
}

// allocated is the account if systemd allocated the uid, and whether that is
// another one.
func (a account) allocated(uid uint32) (account, bool) {
	if !a.dynamic || uid == systemd.NoUID || uid == a.uid {
		return a, false
	}
	a.groups = slices.Clone(a.groups)
	if a.groups[0] == (policy.Group{Name: a.user, GID: a.uid}) {
		a.groups[0].GID = uid
	}
	a.uid = uid
	return a, true
}

// passwd is the text of passwd(5).
func (a account) passwd() string {
	text := "root:x:0:0:root:/root:/usr/sbin/nologin\n"
	if a.uid != nobody {
		text += fmt.Sprintf("nobody:x:%d:%d:nobody:/nonexistent:/usr/sbin/nologin\n", nobody, nobody)
	}
	return text + fmt.Sprintf("%s:x:%d:%d::%s:/bin/sh\n", a.user, a.uid, a.groups[0].GID, home)
}

// group is the text of group(5).
func (a account) group() string {
	var b strings.Builder
	b.WriteString("root:x:0:\n")
	seen := []uint32{0}
	for i, g := range append(slices.Clone(a.groups), policy.Group{Name: "nogroup", GID: nobody}) {
		if g.Name == "" || slices.Contains(seen, g.GID) {
			continue
		}
		seen = append(seen, g.GID)
		member := ""
		if i > 0 && i < len(a.groups) {
			member = a.user
		}
		fmt.Fprintf(&b, "%s:x:%d:%s\n", g.Name, g.GID, member)
	}
	return b.String()
}
