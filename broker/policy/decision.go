// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"slices"

	"nomad-systemd-driver/broker/directive"
)

// Decision is a request that the policy allows, and under what. Only
// [Policy.Decide] makes one; the zero Decision panics when it is used.
type Decision struct {
	rule    string
	sha256  string
	client  Client
	request *Request
	user    *User // nil for an ephemeral uid
	groups  groups

	credentialsMax uint64
	tasksMax       uint64
	profile        string
	values         []directive.Setting
	managerLimits  []Directive
	quota          Quota
}

// Rule is the name of the rule that allows the request.
func (d *Decision) Rule() string { return d.rule }

// PolicySHA256 identifies the policy that decided, as [Policy.SHA256].
func (d *Decision) PolicySHA256() string { return d.sha256 }

// Client is the client that asked.
func (d *Decision) Client() Client { return d.client }

// Request is the decision's own copy of the request, to be executed and not to
// be changed.
func (d *Decision) Request() *Request { return d.request }

// User is the user of the host to run as; false if systemd is to allocate an
// ephemeral uid (DynamicUser=).
func (d *Decision) User() (User, bool) {
	if d.user == nil {
		return User{}, false
	}
	u := *d.user
	u.Groups = slices.Clone(u.Groups)
	return u, true
}

// Profile is the name of the profile in force.
func (d *Decision) Profile() string { return d.profile }

// Values are what the profile and the request's directives set, sorted by
// directive.
func (d *Decision) Values() []directive.Setting { return slices.Clone(d.values) }

// UserManager is set if the unit is to run in the service manager of its user, with
// these lines of directives that limit it there, in order.
func (d *Decision) UserManager() (limits []Directive, ok bool) {
	return slices.Clone(d.managerLimits), d.request.UserManager
}

// TasksMax is the limit of processes and threads: what the request asks for, or
// else the rule's own. It is never 0.
func (d *Decision) TasksMax() uint64 { return d.tasksMax }

// Quota bounds the units of the rule together. It takes knowledge of the units
// there are, so that whoever starts one must ask.
func (d *Decision) Quota() Quota { return d.quota }

// Denial says why a request is refused. Its text is for the author of the job:
// it names what was asked for and the way on, and says nothing of the policy
// that the author could not find out by trying.
type Denial struct {
	// Subject is the part of the request that is refused: client, command, user,
	// directories, resources or log driver.
	Subject string
	// Value is that part as the client sent it, not safe to print unquoted.
	Value string
	// Reason is the reason and the remedy, without a full stop.
	Reason string
	// Never is the name of the never that forbids it, empty if rules do not allow it.
	Never string
}

// Error implements error in one sentence on one line.
func (d *Denial) Error() string {
	if d.Value == "" {
		return fmt.Sprintf("policy refuses %s (not set): %s", d.Subject, d.Reason)
	}
	return fmt.Sprintf("policy refuses %s %q: %s", d.Subject, d.Value, d.Reason)
}
