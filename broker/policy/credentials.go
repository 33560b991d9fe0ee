// SPDX-License-Identifier: MPL-2.0

package policy

import "fmt"

// Credential is a secret that a unit's program finds as a file of this name. Of a
// session only the name is set: it has those of its unit.
type Credential struct {
	Name string
	// Source is a file of the unit's directories, by its path in the unit's view.
	Source string
	// Content are the contents if there is no source.
	Content []byte
}

// maxCredentials is what systemd takes of all credentials of a unit together,
// names and contents (CREDENTIALS_TOTAL_SIZE_MAX in its shared/creds-util.h).
const maxCredentials = 1 << 20

// CredentialsMax bounds the credentials together, names and contents.
func (d *Decision) CredentialsMax() uint64 { return d.credentialsMax }

// credentialsAllowed: what is in them is the task's own in any case, so that only
// their size is of concern. That of files is known when they are read.
func credentialsAllowed(_ *client, l *rule, r *Request) bool {
	return credentialsSize(r) <= l.limits.credentialsMax
}

func credentialsSize(r *Request) uint64 {
	total := 0
	for _, c := range r.Credentials {
		total += len(c.Name) + len(c.Content)
	}
	return uint64(total)
}

func credentialsDenied(_ *client, l *rule, r *Request) *Denial {
	return &Denial{
		Subject: "credentials", Value: fmt.Sprintf("%d bytes", credentialsSize(r)),
		Reason: fmt.Sprintf("a task may have at most %d bytes of credentials here, names and contents; "+
			"ask the operator to raise limits.credentials_max of a rule", l.limits.credentialsMax),
	}
}
