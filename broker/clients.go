// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"nomad-systemd-driver/broker/policy"
)

// clients are those whom the broker answers: the clients of the policy in
// force and, so that a policy that cannot be loaded leaves nobody's tasks
// running out of reach, those who own units. Only the former can start any:
// starting takes a rule.
type clients struct {
	byUID    map[uint32]*policy.Client
	prefixes []string
}

// knownClients are the clients of p, and of the units that PID 1 has.
func (s *Server) knownClients(ctx context.Context, p *policy.Policy) (*clients, error) {
	all := &clients{byUID: make(map[uint32]*policy.Client)}
	for _, c := range p.Clients() {
		all.add(c)
	}
	// A policy without a client is one that could not be loaded. The units say
	// whose they are; to look at each service of the host is the price.
	if len(all.byUID) > 0 {
		return all, nil
	}
	names, err := s.systemd.List(ctx, "*-*.service")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		st, err := s.systemd.Status(ctx, name)
		if err != nil {
			continue // gone meanwhile, or not a unit that can be read
		}
		uid, err := strconv.ParseUint(st.LogExtraFields[fieldUID], 10, 32)
		if err != nil || uid == 0 {
			continue // not the broker's
		}
		prefix, _, _ := strings.Cut(name, "-")
		all.add(&policy.Client{Name: st.LogExtraFields[fieldClient], UID: uint32(uid), UnitPrefix: prefix})
	}
	return all, nil
}

func (c *clients) add(client *policy.Client) {
	c.byUID[client.UID] = client
	if prefix := client.UnitPrefix + "-"; !slices.Contains(c.prefixes, prefix) {
		c.prefixes = append(c.prefixes, prefix)
	}
}

// mine reports whether unit has the name of a client's unit. It is called for
// every signal of PID 1.
func (s *Server) mine(unit string) bool {
	known := s.clients.Load()
	return known != nil && slices.ContainsFunc(known.prefixes, func(prefix string) bool { return strings.HasPrefix(unit, prefix) })
}

// admit lets clients in and nobody else.
func (s *Server) admit(p policy.Peer) error {
	if _, ok := s.clients.Load().byUID[p.UID]; !ok {
		s.audit.refusedPeer(p)
		return notAClient(p)
	}
	return nil
}

// caller is the client of the RPC's peer, by what is in force now: one that a
// new policy drops is refused on its open connection too.
func (s *Server) caller(ctx context.Context) (*policy.Client, error) {
	p, err := peerOf(ctx)
	if err != nil {
		return nil, err
	}
	c, ok := s.clients.Load().byUID[p.UID]
	if !ok {
		s.audit.refusedPeer(p)
		return nil, notAClient(p)
	}
	return c, nil
}

func notAClient(p policy.Peer) error {
	return &policy.Denial{
		Subject: "client", Value: fmt.Sprintf("uid %d", p.UID),
		Reason: "no client block of the policy in force names this user; ask the operator to mend or extend the policy (systemd-brokerd policy check)",
	}
}
