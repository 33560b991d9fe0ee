// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MaxTokenBytes bounds a token.
const MaxTokenBytes = 16 << 10

// leeway is how far the clocks of servers and of this host may be apart.
const leeway = 30 * time.Second

// compact is the one form of a token; base64 alone would take ends of lines in it.
var compact = regexp.MustCompile(`\A[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\z`)

// Wanted is what a token must be besides signed.
type Wanted struct {
	// Audiences are those for one of which it must be.
	Audiences []string
	// Unexpiring accepts a token that does not say when it ends.
	Unexpiring bool
	Now        time.Time
}

// Claims are what a token says of a task. None is empty.
type Claims struct{ Namespace, Job, Group, Task, Alloc string }

var errNoToken = errors.New("this is not a token (JWT, signed with RS256 or EdDSA)")

type claims struct {
	jwt.RegisteredClaims
	Namespace string `json:"nomad_namespace"`
	Job       string `json:"nomad_job_id"`
	Alloc     string `json:"nomad_allocation_id"`
	Task      string `json:"nomad_task"`
}

// Verify is what the token says, or why it proves nothing. The error is for the
// author of a job to read.
func (k *Keys) Verify(token string, w Wanted) (*Claims, error) {
	if len(token) > MaxTokenBytes {
		return nil, fmt.Errorf("the token takes more than %d bytes", MaxTokenBytes)
	}
	if !compact.MatchString(token) {
		return nil, errNoToken
	}
	if len(w.Audiences) == 0 {
		return nil, errors.New("the policy names no audience") // the parser would not ask then
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{"RS256", "EdDSA"}), jwt.WithStrictDecoding(), jwt.WithAudience(w.Audiences...),
		jwt.WithLeeway(leeway), jwt.WithTimeFunc(func() time.Time { return w.Now }),
	}
	if !w.Unexpiring {
		options = append(options, jwt.WithExpirationRequired())
	}
	var c claims
	if _, err := jwt.NewParser(options...).ParseWithClaims(token, &c, k.keyOf); err != nil {
		return nil, worded(err, &c, w)
	}
	group, ok := c.group()
	if !ok || c.Alloc == "" {
		return nil, errors.New("the token is not that of a task: it must be signed for an identity block of the task")
	}
	return &Claims{c.Namespace, c.Job, group, c.Task, c.Alloc}, nil
}

// keyOf is the key that the token's header names, if the header names its algorithm,
// too: a key is for one only.
func (k *Keys) keyOf(t *jwt.Token) (any, error) {
	if _, critical := t.Header["crit"]; critical {
		return nil, errors.New("its header asks for extensions")
	}
	id, _ := t.Header["kid"].(string)
	found, ok := k.byID[id]
	switch {
	case !keyID.MatchString(id):
		return nil, errors.New("its header names no key")
	case !ok:
		return nil, fmt.Errorf("it is signed with the key %s, which is not among the servers' keys on this host; ask the operator to fetch them (systemctl start systemd-brokerd-keys)", id)
	case t.Method.Alg() != found.algorithm:
		return nil, fmt.Errorf("its header names %s, and the key %s is for %s", t.Method.Alg(), id, found.algorithm)
	}
	return found.public, nil
}

// group is the task group, which the subject alone names, as
// REGION:NAMESPACE:JOB:GROUP:TASK:IDENTITY; false if the subject is another's. Names
// may hold colons, but those of regions and identities.
func (c *claims) group() (string, bool) {
	_, rest, ok := strings.Cut(c.Subject, ":")
	end := strings.LastIndexByte(rest, ':')
	if !ok || end < 0 || c.Namespace == "" || c.Job == "" || c.Task == "" {
		return "", false
	}
	rest, ok = strings.CutPrefix(rest[:end], c.Namespace+":"+c.Job+":")
	group, task := strings.CutSuffix(rest, ":"+c.Task)
	return group, ok && task && group != ""
}

// worded says what is wrong with a token, and nothing that is not in it.
func worded(err error, c *claims, w Wanted) error {
	switch {
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return errors.New("the token cannot be verified: " + strings.TrimPrefix(err.Error(), "token is unverifiable: error while executing keyfunc: "))
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return errors.New("the token's signature is not that of the servers")
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing) && c.ExpiresAt == nil && !w.Unexpiring:
		return errors.New("the token never expires; give the task's identity block a ttl")
	case errors.Is(err, jwt.ErrTokenExpired):
		return fmt.Errorf("the token expired %s ago", w.Now.Sub(c.ExpiresAt.Time).Round(time.Second))
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return errors.New("the token is not valid yet: the clocks of the servers and of this host differ")
	case errors.Is(err, jwt.ErrTokenInvalidAudience), errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return fmt.Errorf("the token is for another audience; set aud = [%q] in the task's identity block", w.Audiences[0])
	}
	return errNoToken
}
