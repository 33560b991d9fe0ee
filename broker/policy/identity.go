// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// IdentityKeys say which tokens prove what a task of a client is.
type IdentityKeys struct {
	// Audiences are those for one of which a token must be.
	Audiences []string
	// File holds the keys of the client's servers.
	File string
	// Owner may have written it besides root; 0 if nobody may.
	Owner uint32
	// Unexpiring accepts tokens that never expire.
	Unexpiring bool
}

// Proof is what was found out about the labels of a request. The zero value proves
// nothing.
type Proof struct {
	// What the servers say of the task; empty if nothing is proven.
	Namespace, Job, Group, Task, Alloc string
	// Problem says why nothing is proven, for the author of the job.
	Problem string
}

// Proven reports whether there is any proof. Whether it is of the labels, a rule asks.
func (p *Proof) Proven() bool { return p.Problem == "" && p.Alloc != "" }

// The labels that can be proven, without the client's prefix.
const (
	labelNamespace = "NAMESPACE"
	labelJob       = "JOB_ID"
	labelGroup     = "GROUP_NAME"
	labelTask      = "TASK_NAME"
	labelAlloc     = "ALLOC_ID"
)

var provable = []string{labelNamespace, labelJob, labelGroup, labelTask, labelAlloc}

// AssumeProof has r prove its own labels, for tools that ask about what is planned or
// was recorded.
func (r *Request) AssumeProof(c *Client) {
	of := func(name string) string { return r.Labels[c.LabelPrefix()+name] }
	r.Proof = Proof{Namespace: of(labelNamespace), Job: of(labelJob), Group: of(labelGroup), Task: of(labelTask), Alloc: of(labelAlloc)}
}

// proveAll is AssumeProof for a test, whose request has only the labels that matter.
func (r *Request) proveAll(c *Client) {
	for _, name := range provable {
		if key := c.LabelPrefix() + name; r.Labels[key] == "" {
			r.Labels[key] = "test"
		}
	}
	r.AssumeProof(c)
}

// identityAllowed: a session runs beside a unit that the same rule allowed, with its
// labels.
func identityAllowed(c *client, l *rule, r *Request) bool {
	return !l.requireIdentity || r.Session || unproven(c, r) == ""
}

// unproven is why the labels of r are not proven, empty if they are.
func unproven(c *client, r *Request) string {
	p := &r.Proof
	switch {
	case p.Problem != "":
		return p.Problem
	case !p.Proven():
		return fmt.Sprintf("there is no token; give the task an identity block with aud = [%q], file = true and a ttl", c.audience())
	}
	for _, claim := range []struct{ label, is string }{
		{labelNamespace, p.Namespace}, {labelJob, p.Job}, {labelGroup, p.Group}, {labelTask, p.Task}, {labelAlloc, p.Alloc},
	} {
		got, ok := r.Labels[c.LabelPrefix()+claim.label]
		if !ok || claim.is == "" || got != claim.is && (claim.label != labelJob || !childJob(claim.is, got)) {
			return fmt.Sprintf("the token is for %s%s=%q, and the request says %q", c.LabelPrefix(), claim.label, claim.is, got)
		}
	}
	return ""
}

// audience is the one that jobs are told of.
func (c *client) audience() string {
	if c.Identity == nil {
		return ""
	}
	return c.Identity.Audiences[0]
}

// childJob is whether id is that of a dispatched or periodic run of a job: the token
// names the job.
func childJob(job, id string) bool {
	rest, ok := strings.CutPrefix(id, job+"/")
	return ok && (strings.HasPrefix(rest, "dispatch-") || strings.HasPrefix(rest, "periodic-")) && !strings.Contains(rest, "/")
}

func identityDenied(c *client, _ *rule, r *Request) *Denial {
	var who []string
	for _, name := range []string{labelNamespace, labelJob, labelGroup, labelTask} {
		who = append(who, r.Labels[c.LabelPrefix()+name])
	}
	return &Denial{
		Subject: "identity", Value: strings.Join(who, "/"),
		Reason: fmt.Sprintf("a rule of policy client %q would allow this if it were proven that this task asks for it, and it is not: %s", c.Name, unproven(c, r)),
	}
}

var (
	identitySchema  = schema{attributes: []string{"audiences", "client", "keys", "keys_user", "unexpiring"}}
	audiencePattern = regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}\z`)
)

// defaultAudience is that of the identity that every Nomad task has, and with which it
// is known to Nomad's own API. It never expires.
const defaultAudience = "nomadproject.io"

// identity reads what proves the labels of a client's tasks.
func (c *compiler) identity(_ string, r *reader) {
	who := r.str("client", `"nomad"`)
	cl := c.clients[who.text]
	switch {
	case r.err != nil:
		return
	case cl == nil:
		r.fail(who.at, "there is no client %q in the policy; add a client block, or correct the name", who.text)
		return
	case cl.Identity != nil:
		r.fail(who.at, "client %q has an identity block already; join the two", who.text)
	}
	k := &IdentityKeys{File: r.path(r.str("keys", `"/var/lib/systemd-brokerd-keys/jwks.json"`)), Unexpiring: r.boolean("unexpiring")}
	cl.Identity = k
	for _, v := range r.list("audiences") {
		if !audiencePattern.MatchString(v.text) {
			r.fail(v.at, "%q is not an audience; use 1 to 128 of [A-Za-z0-9._:/@-], the first a letter or digit", v.text)
		}
		if v.text == defaultAudience && !k.Unexpiring {
			r.fail(v.at, "tokens for %s never expire; write unexpiring = true as well, or another audience", v.text)
		}
		k.Audiences = append(k.Audiences, v.text)
	}
	if len(k.Audiences) == 0 {
		r.fail(r.head, `%s lacks audiences; write audiences = ["systemd-brokerd"]`, r.title)
	}
	for _, other := range c.clients {
		if below(other.AllocRoot, k.File) {
			r.fail(r.at("keys"), "%s is in a directory of client %q, who could write keys of its own", k.File, other.Name)
		}
	}
	if r.has("keys_user") {
		k.Owner = c.keysUser(r)
	}
}

// keysUser is who may write the keys besides root: nobody who profits by it.
func (c *compiler) keysUser(r *reader) uint32 {
	name := r.str("keys_user", `"systemd-brokerd-keys"`)
	u, ok := c.lookUp(r, name)
	if !ok {
		return 0
	}
	for _, other := range c.clients {
		if other.UID == u.UID {
			r.fail(name.at, "user %q is client %q itself, who could write keys of its own", name.text, other.Name)
		}
	}
	if u.UID == 65534 || u.UID == 65535 {
		r.fail(name.at, "user %q stands for nobody, and is shared", name.text)
	}
	return u.UID
}

// trusted refuses that a task, or a client, is the user who writes keys.
func (c *compiler) trusted(r *reader, u User, at value) {
	for _, cl := range c.clients {
		if cl.Identity != nil && cl.Identity.Owner == u.UID && u.UID != 0 {
			r.fail(at.at, "user %q writes the keys of client %q (keys_user), and tasks must not", u.Name, cl.Name)
		}
	}
}

// identityOf reads require_identity of a rule.
func identityOf(r *reader, cl *client, labels []labelMatcher) bool {
	if !r.boolean("require_identity") {
		return false
	}
	at := r.at("require_identity")
	if cl.Identity == nil {
		r.fail(at, "no identity block is for client %q, so that nothing can be proven; write one, with audiences and keys", cl.Name)
	}
	for _, m := range labels {
		if name := strings.TrimPrefix(m.name, cl.LabelPrefix()); !slices.Contains(provable, name) {
			r.fail(at, "the label %s cannot be proven; labels of a rule with require_identity are %s", name, strings.Join(provable, ", "))
		}
	}
	return true
}
