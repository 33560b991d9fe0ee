// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"maps"
	"slices"
	"strings"

	"nomad-systemd-driver/broker/directive"
)

// Policy is one snapshot of the operator's policy. It never changes, and may be
// used by many goroutines. The zero Policy denies everything.
type Policy struct {
	clients map[uint32]*client
	sha256  string
}

// Client is one who may ask: a user of the host, and where its units live.
type Client struct {
	Name string
	// User is the name of the client's user; empty if the policy gives a number.
	User string
	UID  uint32
	// UnitPrefix starts the name of each of the client's units. It holds only
	// [a-z0-9] and is the client's alone.
	UnitPrefix string
	// Slice holds the client's units, and the client's alone.
	Slice string
	// AllocRoot is the only directory whose contents the client may show to units.
	AllocRoot string
	// Unit is the service from which the client must connect; empty for any.
	Unit string
	// Identity is nil if nothing can prove what a task of the client is.
	Identity *IdentityKeys
	// MaxUnits is how many units the client may have at a time.
	MaxUnits int
}

// User is a user of the host, in numbers.
type User struct {
	Name     string
	UID, GID uint32
	// GroupName is the name of GID; empty if the host has no such group.
	GroupName string
	// Groups are the supplementary groups.
	Groups []Group
}

// client is a Client with the rules that are about it, sorted by name.
type client struct {
	Client
	rules  []*rule
	nevers []*never // sorted by name
}

// rule allows what all of its parts allow together. What a part does not
// mention it does not allow.
type rule struct {
	name   string
	file   string // where it stands
	line   int
	exec   execMatcher
	runAs  runAsMatcher
	limits limits
	logs   []LogDriver
	// profiles are what a job may choose from; the first is taken if it does not.
	profiles     []*Profile
	directives   directivesMatcher
	capabilities capabilitiesMatcher
	// env lets names through that are guarded, see guardedEnv.
	env     []pattern
	volumes volumesMatcher
	files   files
	// labels, args and networks are free where a rule does not mention them.
	labels   []labelMatcher
	args     *argsMatcher
	networks []Network
	quota    Quota
	// requireIdentity accepts only labels that are proven.
	requireIdentity bool
	// sessions allows any program of the unit's view to run beside the unit.
	sessions bool
}

type execMatcher struct {
	any          bool
	under, paths []string
}

// runAsMatcher allows ephemeral uids, which systemd allocates (DynamicUser=), and
// listed users and groups.
type runAsMatcher struct {
	dynamic bool
	users   map[string]User
	groups  map[string]Group
	// managers are those of the users in whose own service manager tasks may run.
	managers map[string]bool
}

// directivesMatcher allows directives by class, where the profile does not set
// them, by name, and by name and value, whatever the profile says.
type directivesMatcher struct {
	classes []directive.Class
	names   []string
	named   *directiveSet // of names
	values  map[string][]string
}

type limits struct {
	memoryMax       uint64
	memoryUnlimited bool
	tasksMax        uint64
	credentialsMax  uint64
	cpuPercent      uint64 // of one CPU; 0 for no limit
	cpuWeight       uint64 // 0 for no limit
}

// DenyAll is the policy to serve when there is none: it knows no client.
func DenyAll() *Policy { return &Policy{} }

// Client returns the client whose user has this uid.
func (p *Policy) Client(uid uint32) (*Client, bool) {
	c, ok := p.clients[uid]
	if !ok {
		return nil, false
	}
	found := c.Client
	return &found, true
}

// Clients returns all clients, sorted by name.
func (p *Policy) Clients() []*Client {
	all := make([]*Client, 0, len(p.clients))
	for uid := range maps.Keys(p.clients) {
		c, _ := p.Client(uid)
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *Client) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Peer is the client as it may ask.
func (c *Client) Peer() Peer { return Peer{UID: c.UID, Unit: c.Unit} }

// SHA256 identifies the files the policy was read from, names and contents, in
// hexadecimal. It is empty for [DenyAll].
func (p *Policy) SHA256() string { return p.sha256 }
