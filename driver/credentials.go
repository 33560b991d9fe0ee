// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/nomad/plugins/shared/hclspec"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// Credential is a secret that the task finds as a file in
// $CREDENTIALS_DIRECTORY: the contents of a file of the task, or text of the job.
//
// It holds no pointer: the decoder gives the values of a map the same one.
type Credential struct {
	Source  string `codec:"source"`
	Content string `codec:"content"`
}

var credentialSpec = hclspec.NewBlockMap("credential", []string{"name"}, hclspec.NewObject(map[string]*hclspec.Spec{
	"source":  hclspec.NewAttr("source", "string", false),
	"content": hclspec.NewAttr("content", "string", false),
}))

// credentials are those of the task's config, sorted by name.
func (tc *TaskConfig) credentials() ([]*brokerv1.Credential, error) {
	var all []*brokerv1.Credential
	for _, name := range slices.Sorted(maps.Keys(tc.Credential)) {
		c := tc.Credential[name]
		m := &brokerv1.Credential{Name: name}
		switch {
		case (c.Source == "") == (c.Content == ""):
			return nil, fmt.Errorf("credential %q: set either source, a file of the task, or content, which is not empty", name)
		case c.Content != "":
			m.From = &brokerv1.Credential_Content{Content: []byte(c.Content)}
		default:
			source, err := inView(c.Source)
			if err != nil {
				return nil, fmt.Errorf("credential %q: source: %w", name, err)
			}
			m.From = &brokerv1.Credential_Source{Source: source}
		}
		all = append(all, m)
	}
	return all, nil
}

// taskDirectories are those that the agent writes to, in the task's view.
var taskDirectories = []string{"/secrets/", "/local/", "/alloc/"}

// inView is the path of a file of the task in its view. A relative one is meant as
// in the destination of a template: secrets/key.
func inView(file string) (string, error) {
	clean := path.Clean("/" + file)
	inside := func(dir string) bool { return strings.HasPrefix(clean, dir) }
	if slices.Contains(strings.Split(file, "/"), "..") || !slices.ContainsFunc(taskDirectories, inside) {
		return "", fmt.Errorf("%q is not a file in secrets/, local/ or alloc/", file)
	}
	return clean, nil
}

// named are the credentials without their contents, as a session asks for them.
func named(all []*brokerv1.Credential) []*brokerv1.Credential {
	names := make([]*brokerv1.Credential, len(all))
	for i, c := range all {
		names[i] = &brokerv1.Credential{Name: c.GetName()}
	}
	return names
}
