// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"strings"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// Description is what a unit tells of itself: all that a broker knows of it.
type Description struct {
	Client string
	Rule   string // that allowed it
	// SessionOf is the unit beside which a session runs; empty for others.
	SessionOf string
	Unit      *brokerv1.Unit
}

// Describe reads a unit by its state in PID 1 alone, as a broker that starts does;
// false if it is not a broker's.
func Describe(st *systemd.Status) (*Description, bool) {
	prefix, _, _ := strings.Cut(st.Unit, "-")
	client := &policy.Client{Name: st.LogExtraFields[fieldClient], UnitPrefix: prefix}
	r, ok := recordOf(client, st.Unit, st.LogExtraFields)
	if !ok || client.Name == "" {
		return nil, false
	}
	r.applyLocked(st) // nobody else has r
	return &Description{Client: r.client, Rule: r.rule, SessionOf: r.session, Unit: r.messageLocked()}, true
}
