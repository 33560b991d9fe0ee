// SPDX-License-Identifier: MPL-2.0

package policy

import "errors"

// ErrUnknown is what a [Resolver] returns, wrapped or not, for a name that this
// host does not have. Any other error means that it could not find out.
var ErrUnknown = errors.New("no such name on this host")

// Resolver turns the names of a policy into numbers, once, when the policy is
// loaded. An implementation must know all supplementary groups of a user:
// policy refuses users in dangerous groups, and cannot refuse what it is not told.
type Resolver interface {
	// User returns the user of this name, or [ErrUnknown].
	User(name string) (User, error)
	// Group returns the gid of the group of this name, or [ErrUnknown].
	Group(name string) (uint32, error)
}
