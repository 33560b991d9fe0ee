// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"regexp"
	"slices"
	"strings"

	"nomad-systemd-driver/broker/identity"
	"nomad-systemd-driver/broker/policy"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// Limits of credentials in a request; the contents of files are none of it.
const (
	maxCredentials       = 64
	maxContentBytes      = 64 << 10
	maxContentTotalBytes = 256 << 10
)

// credentialPattern is narrower than what systemd takes, and than a file name.
var credentialPattern = regexp.MustCompile(`\A[A-Za-z0-9_][A-Za-z0-9._-]{0,63}\z`)

// checkCredentials checks those of a unit.
func checkCredentials(s *brokerv1.UnitSpec) error {
	if err := checkCredentialNames(s); err != nil {
		return err
	}
	total := 0
	for _, c := range s.GetCredentials() {
		switch from := c.GetFrom().(type) {
		case *brokerv1.Credential_Content:
			if total += len(from.Content); len(from.Content) > maxContentBytes || total > maxContentTotalBytes {
				return invalid("credentials", "the content of %s is over %d bytes, or that of all is over %d; put it into a file and name that as source",
					c.GetName(), maxContentBytes, maxContentTotalBytes)
			}
		case *brokerv1.Credential_Source:
			if err := checkPath("credentials", from.Source); err != nil {
				return err
			}
			if _, _, ok := sourceOf(policy.Directories{}, from.Source); !ok {
				return invalid("credentials", "the source %s of %s is not a file in /secrets, /local or /alloc", quote(from.Source), c.GetName())
			}
		default:
			return invalid("credentials", "%s has neither a source nor content", c.GetName())
		}
	}
	return nil
}

// checkSessionCredentials checks those of a session, which are its unit's.
func checkSessionCredentials(s *brokerv1.UnitSpec) error {
	for _, c := range s.GetCredentials() {
		if c.GetFrom() != nil {
			return invalid("credentials", "a session has those of its unit, and names them only")
		}
	}
	return checkCredentialNames(s)
}

func checkCredentialNames(s *brokerv1.UnitSpec) error {
	if n := len(s.GetCredentials()); n > maxCredentials {
		return invalid("credentials", "there are %d, more than %d", n, maxCredentials)
	}
	seen := map[string]bool{}
	for _, c := range s.GetCredentials() {
		name := c.GetName()
		if !credentialPattern.MatchString(name) {
			return invalid("credentials", "%s is not a name of 1 to 64 bytes of [A-Za-z0-9._-], the first a letter, a digit or _", quote(name))
		}
		if seen[name] {
			return invalid("credentials", "%s is there twice", name)
		}
		seen[name] = true
	}
	return nil
}

// credentialsOf are those of the request, sorted by name.
func credentialsOf(s *brokerv1.UnitSpec) []policy.Credential {
	var all []policy.Credential
	for _, c := range s.GetCredentials() {
		all = append(all, policy.Credential{Name: c.GetName(), Source: c.GetSource(), Content: slices.Clone(c.GetContent())})
	}
	slices.SortFunc(all, func(a, b policy.Credential) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// checkToken bounds the token of the identity; what it says is verified where it counts.
func checkToken(s *brokerv1.UnitSpec) error {
	if t := s.GetIdentityToken(); len(t) > identity.MaxTokenBytes || !plain(t) {
		return invalid("identity_token", "it is over %d bytes or holds control characters", identity.MaxTokenBytes)
	}
	return nil
}
