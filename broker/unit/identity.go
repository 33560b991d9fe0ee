// SPDX-License-Identifier: MPL-2.0

package unit

import (
	"strconv"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/policy"
)

// identity runs the unit under the decision's user and groups, always as numbers,
// so that PID 1 cannot resolve a name to somebody else than policy did; or under a
// uid that systemd allocates for this unit alone and frees with it.
func identity(d *policy.Decision, h Host) []Property {
	further := d.SupplementaryGroups()
	group, grouped := d.Group()
	if user, ok := d.User(); ok {
		if !grouped {
			group.GID = user.GID
		}
		return []Property{
			str("User", id(user.UID)),
			str("Group", id(group.GID)),
			gids(append(user.Groups, further...)),
		}
	}
	props := []Property{
		// It implies RemoveIPC=, which for a user of the host would remove what
		// other programs of that user share.
		boolean("DynamicUser", true),
		str("User", UserName(d, h)),
	}
	if grouped {
		props = append(props, str("Group", id(group.GID)))
	}
	if len(further) > 0 {
		props = append(props, gids(further))
	}
	return props
}

// UserName is the name of the user that the unit of d runs as.
func UserName(d *policy.Decision, h Host) string {
	if user, ok := d.User(); ok {
		return user.Name
	}
	return h.DynamicUser
}

func id(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func gids(groups []policy.Group) Property {
	all := make([]string, 0, len(groups))
	for _, g := range groups {
		all = append(all, id(g.GID))
	}
	return Property{"SupplementaryGroups", dbus.MakeVariant(all)}
}
