// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"nomad-systemd-driver/broker/identity"
	"nomad-systemd-driver/broker/policy"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// Instead of a token, which is a secret, requests that are kept, recorded or planned
// hold one of these. They mean nothing in a request of a client.
const (
	// tokenProven: there was a token, and it proved the labels.
	tokenProven = "proven"
	// tokenPlanned begins what the driver says of the token that a task is to have:
	// a [plannedToken] in JSON.
	tokenPlanned = "planned:"
)

// plannedToken is an identity block of a job.
type plannedToken struct {
	Audiences []string `json:"aud"`
	Expires   bool     `json:"exp"`
}

// proof is what the token of a client's request proves. Stops, removals and all else
// that concerns a unit which is there never ask for it.
func (s *Server) proof(c *policy.Client, token string) policy.Proof {
	if c.Identity == nil || token == "" {
		return policy.Proof{}
	}
	keys, err := s.keys.read(c.Identity.File, c.Identity.Owner)
	if err != nil {
		return policy.Proof{Problem: "the servers' keys cannot be used on this host: " + err.Error()}
	}
	claims, err := keys.Verify(token, identity.Wanted{
		Audiences: c.Identity.Audiences, Unexpiring: c.Identity.Unexpiring, Now: time.Now(),
	})
	if err != nil {
		return policy.Proof{Problem: err.Error()}
	}
	return policy.Proof{Namespace: claims.Namespace, Job: claims.Job, Group: claims.Group, Task: claims.Task, Alloc: claims.Alloc}
}

// assumed has r prove what its kept, recorded or planned form says.
func assumed(r *policy.Request, token string, c *policy.Client) {
	planned, ok := strings.CutPrefix(token, tokenPlanned)
	switch {
	case c.Identity == nil, token == "":
	case token == tokenProven:
		r.AssumeProof(c)
	case ok:
		if r.Proof.Problem = problemOf(planned, c.Identity); r.Proof.Problem == "" {
			r.AssumeProof(c)
		}
	default:
		r.Proof.Problem = "whether a token proves anything is for the daemon to say"
	}
}

// problemOf is why the token that is planned will prove nothing.
func problemOf(planned string, k *policy.IdentityKeys) string {
	var p plannedToken
	switch err := json.Unmarshal([]byte(planned), &p); {
	case err != nil:
		return "what is planned for its token is not JSON"
	case !slices.ContainsFunc(p.Audiences, func(a string) bool { return slices.Contains(k.Audiences, a) }):
		return fmt.Sprintf("its token is for another audience; set aud = [%q] in the task's identity block", k.Audiences[0])
	case !p.Expires && !k.Unexpiring:
		return "its token never expires; give the task's identity block a ttl"
	}
	return ""
}

// recordable is the place of the token, and of variables that policies speak of, in
// what is kept and recorded of a request: their names, and no values.
func recordable(shown *brokerv1.UnitSpec, r *policy.Request) {
	shown.Env = nil
	for _, name := range policy.GuardedEnv(r.Env) {
		if shown.Env == nil {
			shown.Env = map[string]string{}
		}
		shown.Env[name] = ""
	}
	shown.IdentityToken = ""
	if r.Proof.Proven() {
		shown.IdentityToken = tokenProven
	}
}
