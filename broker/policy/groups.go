// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"errors"
	"fmt"
	"slices"
)

// Group is a group of the host.
type Group struct {
	Name string
	GID  uint32
}

// groups are those a unit runs in besides what its user has; primary is nil for
// the user's own.
type groups struct {
	primary       *Group
	supplementary []Group
}

// Group is the group to run as; false for the user's own.
func (d *Decision) Group() (Group, bool) {
	if d.groups.primary == nil {
		return Group{}, false
	}
	return *d.groups.primary, true
}

// SupplementaryGroups are the groups that the request asks for beyond those of
// the user, in the request's order.
func (d *Decision) SupplementaryGroups() []Group { return slices.Clone(d.groups.supplementary) }

// group is the group of this name that the rule lets the request have: one that
// the rule lists, or that the user it runs as is in anyway.
func (l *rule) group(r *Request, name string) (Group, bool) {
	if g, ok := l.runAs.groups[name]; ok {
		return g, true
	}
	u, ok := l.runAs.users[r.User]
	if !ok {
		return Group{}, false
	}
	if u.GroupName == name {
		return Group{name, u.GID}, true
	}
	for _, g := range u.Groups {
		if g.Name == name {
			return g, true
		}
	}
	return Group{}, false
}

// groupsOf are the groups of a request that groupsAllowed.
func (l *rule) groupsOf(r *Request) groups {
	var all groups
	if g, ok := l.group(r, r.Group); ok && r.Group != "" {
		all.primary = &g
	}
	for _, name := range r.SupplementaryGroups {
		if g, ok := l.group(r, name); ok {
			all.supplementary = append(all.supplementary, g)
		}
	}
	return all
}

// named are the groups that a request names.
func (r *Request) named() []string {
	if r.Group == "" {
		return r.SupplementaryGroups
	}
	return append([]string{r.Group}, r.SupplementaryGroups...)
}

func groupsAllowed(_ *client, l *rule, r *Request) bool { return l.firstForeign(r) == "" }

// firstForeign is the first group that the rule does not let the request have.
func (l *rule) firstForeign(r *Request) string {
	for _, name := range r.named() {
		if _, ok := l.group(r, name); !ok {
			return name
		}
	}
	return ""
}

func groupsDenied(c *client, l *rule, r *Request) *Denial {
	name := l.firstForeign(r)
	d := &Denial{Subject: "group", Value: name}
	if slices.Contains(dangerousGroups, name) || name == c.User {
		d.Reason = fmt.Sprintf("no rule of policy client %q lets a task be in this group, and none can; name another", c.Name)
		return d
	}
	d.Reason = fmt.Sprintf("no rule of policy client %q lets this task be in this group; "+
		"ask the operator to add it to run_as.groups of a rule, or leave it out", c.Name)
	return d
}

// groups reads run_as.groups.
func (c *compiler) groups(rule string, r *reader) map[string]Group {
	all := map[string]Group{}
	for _, v := range r.list("groups") {
		g, ok := c.lookUpGroup(r, v)
		if !ok {
			return all
		}
		if problem := c.groupUnderFloor(g); problem != "" {
			r.fail(v.at, "rule %q cannot let tasks be in group %q: %s", rule, g.Name, problem)
		}
		all[g.Name] = g
	}
	return all
}

// lookUpGroup resolves a group that the policy names.
func (c *compiler) lookUpGroup(r *reader, name value) (Group, bool) {
	if r.err != nil {
		return Group{}, false
	}
	if !userPattern.MatchString(name.text) {
		r.fail(name.at, "%q is not the name of a group", name.text)
		return Group{}, false
	}
	gid, err := c.names.Group(name.text)
	switch {
	case errors.Is(err, ErrUnknown):
		r.fail(name.at, "group %q does not exist on this host; create it, or correct the name", name.text)
	case err != nil:
		r.fail(name.at, "cannot look up group %q: %v", name.text, err)
	}
	return Group{name.text, gid}, err == nil
}

// groupUnderFloor says why no rule may let a unit be in g, or "".
func (c *compiler) groupUnderFloor(g Group) string {
	if group, ok := c.dangerous[g.GID]; ok {
		same := ""
		if group != g.Name {
			same = fmt.Sprintf("it is the same as %q (gid %d), and ", group, g.GID)
		}
		return same + "its members can take over the host or read what is others'"
	}
	if g.GID == 65535 || g.GID > 1<<31-1 {
		return fmt.Sprintf("gid %d is no group's, but an error to many programs", g.GID)
	}
	for _, cl := range c.clients {
		if gid, ok := c.clientGIDs[cl.Name]; ok && gid == g.GID {
			return fmt.Sprintf("it is the group of client %q, which can reach the broker and the client's files", cl.Name)
		}
	}
	return ""
}
