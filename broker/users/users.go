// SPDX-License-Identifier: MPL-2.0

// Package users knows the users and groups of this host, for the policy to
// resolve names with. It reads /etc/passwd and /etc/group itself.
//
// It does not ask the C library or NSS: that would run modules of other
// programs inside a root daemon, and need a daemon that may be down or remote
// to load a policy. So a user who exists only in a network directory (LDAP,
// sssd, systemd-homed) cannot be named in a policy. PID 1 does ask NSS when it
// starts a unit: a host where NSS adds a local user to further groups gives
// these to the unit too, and the operator of such a host must keep the users
// named in the policy out of them.
//
// Threat: a group that is overlooked is a group the policy does not refuse. So
// a line that cannot be understood is an error, never skipped.
package users

import (
	"fmt"
	"os"
	"slices"

	"nomad-systemd-driver/broker/policy"
)

// Users is a snapshot of a host's users and groups. It implements
// [policy.Resolver].
type Users struct {
	users  map[string]policy.User
	groups map[string]uint32
	// groupNames has the first name of each gid, as the C library finds it.
	groupNames map[uint32]string
}

var _ policy.Resolver = (*Users)(nil)

// Read takes a snapshot of the two files, usually /etc/passwd and /etc/group.
func Read(passwd, group string) (*Users, error) {
	pw, err := os.ReadFile(passwd)
	if err != nil {
		return nil, fmt.Errorf("cannot read the host's users: %w", err)
	}
	gr, err := os.ReadFile(group)
	if err != nil {
		return nil, fmt.Errorf("cannot read the host's groups: %w", err)
	}
	u, err := parse(passwd, pw, group, gr)
	if err != nil {
		return nil, fmt.Errorf("cannot read the host's users: %w", err)
	}
	return u, nil
}

// Parse is Read for the contents of the two files.
func Parse(passwd, group []byte) (*Users, error) { return parse("passwd", passwd, "group", group) }

// User implements [policy.Resolver].
func (u *Users) User(name string) (policy.User, error) {
	found, ok := u.users[name]
	if !ok {
		return policy.User{}, fmt.Errorf("user %q: %w", name, policy.ErrUnknown)
	}
	found.Groups = slices.Clone(found.Groups)
	found.GroupName = u.groupNames[found.GID]
	return found, nil
}

// Has reports whether a user or a group has the number.
func (u *Users) Has(id uint32) bool {
	for _, user := range u.users {
		if user.UID == id {
			return true
		}
	}
	_, ok := u.groupNames[id]
	return ok
}

// Group implements [policy.Resolver].
func (u *Users) Group(name string) (uint32, error) {
	gid, ok := u.groups[name]
	if !ok {
		return 0, fmt.Errorf("group %q: %w", name, policy.ErrUnknown)
	}
	return gid, nil
}
