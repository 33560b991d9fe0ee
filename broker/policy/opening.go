// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"slices"
	"strconv"

	"nomad-systemd-driver/broker/directive"
)

// openingProfile is the sandbox of what opens directories: strict as it is built in,
// whatever operators make of profiles.
func openingProfile() (*Profile, error) {
	all, err := Profiles(nil)
	return all["strict"], err
}

// Owner is the user of what is to be opened.
type Owner struct {
	UID       uint32
	Ephemeral bool // systemd allocates the uid
	// Ran says that the unit ran as this user, whatever the policy allows by now.
	Ran bool
}

// DecideOpening is the decision to run the broker's own program that opens the
// directories of a unit which has ended, as the unit's user. A client may always have
// that for directories of its own: it gives nobody more than the user had, and the
// user is one that the unit ran as, or that the policy lets units run as. r names command,
// arguments and directories. The error is a [*Denial].
func (p *Policy) DecideOpening(peer Peer, r *Request, owner Owner) (*Decision, error) {
	c, ok := p.clients[peer.UID]
	if !ok {
		return nil, &Denial{Subject: "client", Value: "uid " + strconv.FormatUint(uint64(peer.UID), 10), Reason: "the policy names no client with this uid"}
	}
	if !directoriesAllowed(c, nil, r) {
		return nil, directoriesDenied(c, nil, r)
	}
	profile, err := openingProfile()
	if err != nil {
		return nil, &Denial{Subject: "profile", Value: "strict", Reason: err.Error()}
	}
	values, err := resolve(profile, nil)
	if err != nil {
		return nil, &Denial{Subject: "profile", Value: profile.Name, Reason: err.Error()}
	}
	// It is for hosts without user namespaces above all: where there are some,
	// directories are mapped, and need not be opened.
	values = slices.DeleteFunc(values, func(v directive.Setting) bool { return v.Directive == "PrivateUsers" })
	d := &Decision{
		profile: profile.Name, values: values, rule: r.Rule, sha256: p.sha256, client: c.Client, request: r.clone(),
		tasksMax: r.Resources.TasksMax,
	}
	if owner.Ephemeral {
		return d, nil
	}
	for _, l := range c.rules {
		for _, u := range l.runAs.users {
			if u.UID == owner.UID {
				d.user = &u
				return d, nil
			}
		}
	}
	if owner.Ran && owner.UID != 0 {
		d.user = &User{Name: r.User, UID: owner.UID, GID: nobody}
		return d, nil
	}
	return nil, userDenied(c, nil, r)
}

// nobody is the gid that owns nothing.
const nobody = 65534
