// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"slices"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

func checkGroups(s *brokerv1.UnitSpec) error {
	if g := s.GetGroup(); g != "" && !userPattern.MatchString(g) {
		return invalid("group", "%s is not a group name (numbers are not accepted; name the group)", quote(g))
	}
	further := s.GetSupplementaryGroups()
	if len(further) > maxGroups {
		return invalid("supplementary_groups", "there are %d, more than %d", len(further), maxGroups)
	}
	for i, g := range further {
		if !userPattern.MatchString(g) {
			return invalid("supplementary_groups", "%s is not a group name (numbers are not accepted; name the group)", quote(g))
		}
		if slices.Contains(further[:i], g) {
			return invalid("supplementary_groups", "%s is there twice", quote(g))
		}
	}
	return nil
}
