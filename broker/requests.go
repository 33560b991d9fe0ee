// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"nomad-systemd-driver/broker/policy"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// requestsDir holds, for each unit, what was asked for, so that a later policy can
// be asked about it. It is no authority over anything: a unit whose file is missing
// runs on, and is only not compared.
//
// It is no field of the unit, where the rest of a unit's state is, because such a
// field goes into each line that the unit logs, and every user of the host reads it.
const requestsDir = "requests"

// keepRequest writes down what the unit's start asks for.
func (s *Server) keepRequest(unit string, spec *brokerv1.UnitSpec, r *policy.Request) error {
	shown, err := disclosed(spec, kept)
	if err != nil {
		return err
	}
	recordable(shown, r)
	text, err := compactJSON(shown)
	if err != nil {
		return fmt.Errorf("cannot keep the request: %w", err)
	}
	path := filepath.Join(s.dirs.requests, unit)
	// Nobody reads half a file, and nothing is written to what is there.
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		_ = os.Remove(path + ".new") // a full disk takes the file, and not what is in it
		return fmt.Errorf("cannot keep the request: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("cannot keep the request: %w", err)
	}
	return nil
}

func (s *Server) forgetRequest(unit string) {
	_ = os.Remove(filepath.Join(s.dirs.requests, unit)) // clearRequests finds what stays
}

// clearRequests removes what an earlier broker kept for units that are gone: of all
// that brokers made, units are there.
func (s *Server) clearRequests(units []string) error {
	files, err := os.ReadDir(s.dirs.requests)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(units))
	for _, name := range units {
		there[name] = true
	}
	for _, f := range files {
		if !there[f.Name()] {
			s.forgetRequest(f.Name())
		}
	}
	return nil
}

// errNoRequest: nothing can be said of the unit.
var errNoRequest = errors.New("what was asked for is not known: another version of systemd-brokerd started the unit")

// wouldRefuse is a *policy.Denial if p would not let the unit of r be started as
// it was, and another error if that cannot be told.
func wouldRefuse(p *policy.Policy, runtimeDir string, r *record) error {
	clients := p.Clients()
	i := slices.IndexFunc(clients, func(c *policy.Client) bool { return c.Name == r.client })
	if i < 0 {
		return &policy.Denial{Subject: "client", Value: r.client, Reason: "the policy names no such client"}
	}
	text, err := os.ReadFile(filepath.Join(runtimeDir, requestsDir, r.unit))
	if errors.Is(err, fs.ErrNotExist) {
		return errNoRequest
	}
	if err != nil {
		return fmt.Errorf("cannot read what was asked for: %w", err)
	}
	var spec brokerv1.UnitSpec
	if err := protojson.Unmarshal(text, &spec); err != nil {
		return fmt.Errorf("cannot read what was asked for: %w", err)
	}
	if spec.GetId() != r.id {
		return errNoRequest
	}
	req, err := requestAgain(&spec, clients[i], r)
	if err != nil {
		return fmt.Errorf("cannot read what was asked for: %w", err)
	}
	_, err = p.Decide(clients[i].Peer(), req)
	return err
}

// requestAgain reads a kept request as its start did.
func requestAgain(spec *brokerv1.UnitSpec, c *policy.Client, r *record) (*policy.Request, error) {
	if r.session != "" {
		return SessionRequest(spec, c, r.rule)
	}
	if spec.GetLogging().GetDriver() == brokerv1.Logging_DRIVER_FDS {
		spec.Logging.FdToken = strings.Repeat("0", tokenBytes) // was not kept
	}
	return Request(spec, c)
}

// tellUnwanted records the units that run and that p would refuse.
func (s *Server) tellUnwanted(ctx context.Context, p *policy.Policy) {
	if len(p.Clients()) == 0 {
		return // a policy that could not be loaded says nothing of what runs
	}
	for _, r := range s.units.running() {
		err := wouldRefuse(p, s.config.RuntimeDir, r)
		if _, denied := errors.AsType[*policy.Denial](err); denied {
			s.audit.unwanted(ctx, r, p.SHA256(), err)
		}
	}
}

// running are the units that have not ended, by name.
func (g *registry) running() []*record {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []*record
	for _, r := range g.byUnit {
		if r.live && !over(r.state) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *record) int { return strings.Compare(a.unit, b.unit) })
	return all
}
