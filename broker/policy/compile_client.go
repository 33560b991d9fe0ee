// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"errors"
	"regexp"
	"slices"
)

// maxMaxUnits is the most a policy can set max_units to.
const maxMaxUnits = 100000

var (
	clientSchema = schema{attributes: []string{"user", "uid", "unit_prefix", "slice", "alloc_root", "max_units", "unit"}}

	userPattern = regexp.MustCompile(`\A[A-Za-z_][A-Za-z0-9_.-]{0,31}\z`)
	// prefixPattern has no "-" and no "_": the prefix ends at the first "-" of a
	// unit's name and, in capitals, at the first "_" of a journal field, so that
	// no client's prefix is the start of another's.
	prefixPattern = regexp.MustCompile(`\A[a-z][a-z0-9]{0,15}\z`)
	slicePattern  = regexp.MustCompile(`\A[A-Za-z0-9_]+(-[A-Za-z0-9_]+)*\.slice\z`)
	// servicePattern leaves out "_" at the front, which stands for an escape in the
	// names of control groups.
	servicePattern = regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9:_.@-]*\.service\z`)
	// foreignSlice is what systemd and systemd-logind manage for others.
	foreignSlice = regexp.MustCompile(`\A(system|user|machine)[.-]`)
	// pathPattern leaves out what has a meaning in unit files, where paths end up.
	pathPattern = regexp.MustCompile(`\A/[A-Za-z0-9._@+=,/-]+\z`)
)

// reservedPrefixes begin journal fields or unit names that others rely on.
var reservedPrefixes = []string{
	"audit", "broker", "code", "coredump", "dbus", "init", "invocation", "job", "kernel",
	"message", "object", "session", "syslog", "systemd", "unit", "user",
}

func (c *compiler) client(name string, r *reader) {
	cl := &client{Client: Client{
		Name:       name,
		UnitPrefix: r.unitPrefix(),
		Slice:      r.slice(),
		AllocRoot:  r.path(r.str("alloc_root", `"/var/lib/nomad/alloc"`)),
		MaxUnits:   int(r.number("max_units", "1000", 1, maxMaxUnits)), //nolint:gosec // at most maxMaxUnits
	}}
	if r.has("unit") {
		v := r.str("unit", `"nomad.service"`)
		if cl.Unit = v.text; len(v.text) > 255 || !servicePattern.MatchString(v.text) {
			r.fail(v.at, `%q is not the name of a service, such as "nomad.service"`, v.text)
		}
	}
	c.clientUser(cl, r)
	for _, other := range c.clients {
		switch {
		case other.UID == cl.UID:
			r.fail(r.head, "%s has the same user as client %q; join the two", r.title, other.Name)
		case other.UnitPrefix == cl.UnitPrefix:
			r.fail(r.at("unit_prefix"), "client %q has this unit_prefix already; choose another", other.Name)
		case other.Slice == cl.Slice:
			r.fail(r.at("slice"), "client %q has this slice already; choose another", other.Name)
		case other.AllocRoot == cl.AllocRoot, below(other.AllocRoot, cl.AllocRoot), below(cl.AllocRoot, other.AllocRoot):
			r.fail(r.at("alloc_root"), "the alloc_root of client %q overlaps with this one; choose another", other.Name)
		}
	}
	c.clients[name] = cl
}

// clientUser reads who the client is: a name or a number, and never root.
func (c *compiler) clientUser(cl *client, r *reader) {
	if r.has("user") == r.has("uid") {
		r.fail(r.head, `%s needs either user or uid; write user = "nomad"`, r.title)
		return
	}
	if r.has("uid") {
		cl.UID = uint32(r.number("uid", "991", 1, 1<<31-1)) //nolint:gosec // at most 1<<31-1
		if cl.UID == 65534 || cl.UID == 65535 {
			r.fail(r.at("uid"), "uid %d stands for nobody and for errors, and is never a client", cl.UID)
		}
		return
	}
	name := r.str("user", `"nomad"`)
	u, ok := c.lookUp(r, name)
	if ok && (u.UID == 0 || u.UID > 1<<31-1 || u.UID == 65534 || u.UID == 65535) {
		r.fail(name.at, "user %q has uid %d, which is never a client; run the client as a user of its own", name.text, u.UID)
	}
	cl.User, cl.UID = u.Name, u.UID
	c.clientGIDs[cl.Name] = u.GID
}

// lookUp resolves a user that the policy names.
func (c *compiler) lookUp(r *reader, name value) (User, bool) {
	if r.err != nil {
		return User{}, false
	}
	if !userPattern.MatchString(name.text) {
		r.fail(name.at, "%q is not the name of a user", name.text)
		return User{}, false
	}
	u, err := c.names.User(name.text)
	switch {
	case errors.Is(err, ErrUnknown):
		r.fail(name.at, "user %q does not exist on this host; create it, or correct the name", name.text)
	case err != nil:
		r.fail(name.at, "cannot look up user %q: %v", name.text, err)
	case u.Name != name.text:
		r.fail(name.at, "user %q is called %q on this host; write that", name.text, u.Name)
	}
	return u, err == nil
}

func (r *reader) unitPrefix() string {
	v := r.str("unit_prefix", `"nomad"`)
	switch {
	case !prefixPattern.MatchString(v.text):
		r.fail(v.at, "%q is not a unit_prefix; use 1 to 16 of [a-z0-9], the first a letter", v.text)
	case slices.Contains(reservedPrefixes, v.text):
		r.fail(v.at, "unit_prefix %q would make names that mean something to the journal or to systemd; choose another", v.text)
	}
	return v.text
}

func (r *reader) slice() string {
	v := r.str("slice", `"brokerd-nomad.slice"`)
	switch {
	case len(v.text) > 128 || !slicePattern.MatchString(v.text):
		r.fail(v.at, "%q is not the name of a slice; use words of [A-Za-z0-9_] joined by -, and .slice at the end", v.text)
	case foreignSlice.MatchString(v.text):
		r.fail(v.at, `slice %q is for others; use one of the client's own, such as "brokerd-nomad.slice"`, v.text)
	}
	return v.text
}

// path checks that v is an absolute, clean path that a unit file can hold.
func (r *reader) path(v value) string {
	switch {
	case len(v.text) > 4095 || !pathPattern.MatchString(v.text):
		r.fail(v.at, "%q is not an absolute path of [A-Za-z0-9._@+=,/-] below /", v.text)
	case !cleanAbsolute(v.text):
		r.fail(v.at, `%q holds "//", "." or "..", or ends in "/"; write the path without`, v.text)
	}
	return v.text
}
