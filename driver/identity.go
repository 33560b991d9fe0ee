// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"
)

// defaultIdentity is the name of the identity block whose token the broker gets.
const defaultIdentity = "systemd-brokerd"

// maxToken is the broker's own limit.
const maxToken = 16 << 10

// identityToken is the token of the task's identity block of this name, empty if the
// task has none. Nomad hands it on in the task's environment (env = true), or in a file
// of secrets/ (file = true).
//
// An error is no reason not to ask the broker: the policy may not ask for a token.
func identityToken(c *drivers.TaskConfig, name string) (string, error) {
	env, file := "NOMAD_TOKEN_"+name, "nomad_"+name+".jwt"
	if name == structs.WorkloadIdentityDefaultName {
		env, file = "NOMAD_TOKEN", "nomad_token"
	}
	if token := c.Env[env]; token != "" {
		return token, nil
	}
	token, err := readToken(filepath.Join(c.TaskDir().SecretsDir, file))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return token, err
}

// readToken reads a file in a directory that a task may write to: a former run of it
// may have left anything there.
func readToken(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close() //nolint:errcheck // nothing was written
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxToken {
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxToken)
	}
	return strings.TrimSpace(string(text)), nil
}

// identity is the name of the identity block whose token is sent.
func (d *Driver) identity() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.config.Identity
}

// identityHint tells a job's author which token is sent, after a refusal for want of
// a good one.
func identityHint(name string) string {
	if name == structs.WorkloadIdentityDefaultName {
		return `; what is sent is the token of the default identity: identity { env = true }`
	}
	return fmt.Sprintf(`; what is sent is the token of identity { name = %q }`, name)
}

// plannedIdentity is an identity block in the output of "nomad job run -output".
type plannedIdentity struct {
	Name      string
	Audience  []string
	Env, File bool
	Filepath  string
	TTL       time.Duration
}

// plannedToken is what a request says of a token that is not there yet, see
// UnitSpec.identity_token; empty if the driver will find none.
func (t *plannedTask) plannedToken(name string) (string, error) {
	found := (*plannedIdentity)(nil)
	if name == structs.WorkloadIdentityDefaultName && t.Identity != nil {
		found = t.Identity
		found.Audience, found.TTL = []string{structs.IdentityDefaultAud}, 0
	}
	for i := range t.Identities {
		if t.Identities[i].Name == name {
			found = &t.Identities[i]
		}
	}
	if found == nil || !found.Env && (!found.File || found.Filepath != "") {
		return "", nil
	}
	text, err := json.Marshal(struct {
		Audiences []string `json:"aud"`
		Expires   bool     `json:"exp"`
	}{found.Audience, found.TTL > 0})
	return "planned:" + string(text), err
}
