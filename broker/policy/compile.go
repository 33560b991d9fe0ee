// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// maxBlocks bounds the clients and the rules of a policy.
const maxBlocks = 10000

// version is the version of the language that this package reads.
const version = 1

var (
	fileSchema = schema{[]string{"version"}, []string{"client", "identity", "never", "rule"}}

	// namePattern is for the names of clients and rules. They go into
	// units, journal fields and messages.
	namePattern = regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\z`)
)

// compiler turns the files of a policy into a Policy: clients first, then what proves
// their labels, and rules, which speak of both.
type compiler struct {
	failure
	names    Resolver
	profiles map[string]*Profile
	clients  map[string]*client
	// clientGIDs are the primary groups of the clients' users, by client.
	clientGIDs map[string]uint32
	// dangerous are the gids of dangerousGroups on this host.
	dangerous map[uint32]string
}

func compile(files []*source, names Resolver, profiles map[string]*Profile) (*Policy, error) {
	c := &compiler{
		names: names, profiles: profiles, clients: map[string]*client{}, clientGIDs: map[string]uint32{},
		dangerous: map[uint32]string{},
	}
	if err := c.resolveDangerous(); err != nil {
		return nil, err
	}
	for _, f := range files {
		c.file(f)
	}
	c.each(files, "client", clientSchema, c.client)
	c.each(files, "identity", identitySchema, c.identity)
	c.each(files, "rule", ruleSchema, c.rule)
	c.each(files, "never", neverSchema, c.never)
	if c.err != nil {
		return nil, c.err
	}
	p := &Policy{clients: map[uint32]*client{}}
	for _, cl := range c.clients {
		slices.SortFunc(cl.rules, func(a, b *rule) int { return strings.Compare(a.name, b.name) })
		slices.SortFunc(cl.nevers, func(a, b *never) int { return strings.Compare(a.name, b.name) })
		p.clients[cl.UID] = cl
	}
	return p, nil
}

// resolveDangerous looks up the groups of the floor. Those the host does not
// have are no danger.
func (c *compiler) resolveDangerous() error {
	c.dangerous[0] = "root"
	for _, name := range dangerousGroups {
		gid, err := c.names.Group(name)
		switch {
		case err == nil:
			c.dangerous[gid] = name
		case !errors.Is(err, ErrUnknown):
			return fmt.Errorf("cannot look up the group %q: %w", name, err)
		}
	}
	return nil
}

// file checks what stands in a file outside of blocks.
func (c *compiler) file(f *source) {
	r := c.read(f, "the file", span{}, f.body, fileSchema)
	if got := r.number("version", "1", 0, 1<<32); r.err == nil && got != version {
		r.fail(r.at("version"), "this broker reads version %d of the policy language, not %d; "+
			"rewrite the file, or install the broker that reads it", version, got)
	}
}

// each reads all blocks of one type in all files, and refuses two of one name.
func (c *compiler) each(files []*source, kind string, known schema, read func(name string, r *reader)) {
	seen := map[string]string{}
	for _, f := range files {
		for _, b := range f.body.Blocks {
			if b.Type != kind || c.err != nil {
				continue
			}
			name, r := c.named(f, b, known)
			if first, again := seen[name]; again {
				r.fail(r.head, "%s is defined already at %s; rename or delete one", r.title, first)
			}
			if len(seen) == maxBlocks {
				r.fail(r.head, "the policy holds more than %d blocks of type %s", maxBlocks, kind)
			}
			seen[name] = fmt.Sprintf("%s:%d", f.name, b.TypeRange.Start.Line)
			if c.err == nil {
				read(name, r)
			}
		}
	}
}

// named starts reading a block that has a name.
func (c *compiler) named(f *source, b *hclsyntax.Block, known schema) (string, *reader) {
	head := spanOf(b.DefRange())
	if len(b.Labels) != 1 {
		r := &reader{failure: &c.failure, src: f}
		r.fail(head, `a %s block takes one name, as in: %s "name" {`, b.Type, b.Type)
		return "", r
	}
	name := b.Labels[0]
	r := c.read(f, fmt.Sprintf("%s %q", b.Type, name), head, b.Body, known)
	if !namePattern.MatchString(name) {
		r.fail(spanOf(b.LabelRanges[0]), "%q is not a name; use 1 to 64 of [A-Za-z0-9._-], the first a letter or digit", name)
	}
	return name, r
}
