// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/nomad/plugins/drivers"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// unitSpec turns a task into what the broker is asked to start, and looks at what
// the job brought along.
func unitSpec(c *drivers.TaskConfig) (*brokerv1.UnitSpec, error) {
	spec, err := plannedSpec(c)
	if err != nil {
		return nil, err
	}
	err = checkLocal(spec.GetCommand(), c.TaskDir().LocalDir)
	if errors.Is(err, fs.ErrNotExist) && spec.GetRootfs().GetKind() != brokerv1.Rootfs_KIND_IMAGE {
		var tc TaskConfig
		if derr := c.DecodeDriverConfig(&tc); derr == nil {
			spec.Command, err = lookUp("/", tc.Command, err)
		}
	}
	return spec, err
}

// plannedSpec is unitSpec for a task of which nothing is on this host yet.
func plannedSpec(c *drivers.TaskConfig) (*brokerv1.UnitSpec, error) {
	var tc TaskConfig
	if err := c.DecodeDriverConfig(&tc); err != nil {
		return nil, fmt.Errorf("cannot read the task's config block: %w", err)
	}
	command, err := resolveCommand(tc.Command)
	if err != nil {
		return nil, err
	}
	logging, err := tc.Logging.message()
	if err != nil {
		return nil, err
	}
	if _, err := signalTarget(tc.SignalTarget); err != nil {
		return nil, err
	}
	spec, err := baseSpec(c, &tc)
	if err != nil {
		return nil, err
	}
	spec.Command, spec.Args, spec.Logging = command, tc.Args, logging
	return spec, nil
}

// baseSpec is what a task's unit and the sessions beside it have in common.
func baseSpec(c *drivers.TaskConfig, tc *TaskConfig) (*brokerv1.UnitSpec, error) {
	env, err := environment(c)
	if err != nil {
		return nil, err
	}
	res, err := resources(c.Resources)
	if err != nil {
		return nil, err
	}
	if tc.CPUWeight != 0 {
		res.CpuWeight = tc.CPUWeight
	}
	res.TasksMax = tc.TasksMax
	directives, err := tc.directives(c.Resources)
	if err != nil {
		return nil, err
	}
	volumes, err := volumes(c, &tc.Binds)
	if err != nil {
		return nil, err
	}
	credentials, err := tc.credentials()
	if err != nil {
		return nil, err
	}
	if tc.Session != "" && tc.Session != "user" {
		return nil, fmt.Errorf(`session %q: it must be "user", for the service manager of the task's user, or be left out`, tc.Session)
	}
	dir := c.TaskDir()
	spec := &brokerv1.UnitSpec{
		Id:     c.ID,
		Name:   []string{word(c.Name), short(c.AllocID)},
		Labels: labels(c),
		Env:    env,
		User:   c.User,
		Group:  tc.Group,

		UserManager:         tc.Session == "user",
		SupplementaryGroups: tc.SupplementaryGroups,
		Directories: &brokerv1.Directories{
			Alloc: dir.SharedAllocDir, Local: dir.LocalDir, Secrets: dir.SecretsDir,
		},
		Resources:        res,
		WorkingDirectory: tc.Workdir,
		Profile:          tc.Profile,
		Directives:       directives,
		NetworkNamespace: tc.namespace(),
		Volumes:          volumes,
		Credentials:      credentials,
	}
	if err := nameDevices(spec); err != nil {
		return nil, err
	}
	return spec, tc.apply(spec, c)
}

// word is a name that fits into one word of a unit's name.
func word(name string) string {
	name = printable(name)
	for len(name) > 48 {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name
}

// short is the part of an allocation's id that Nomad's own output shows.
func short(id string) string {
	if len(id) > 8 {
		return id[:8]
	}
	return id
}

// labels name the task in the journal (journalctl NOMAD_ALLOC_ID=...) and to
// the policy.
func labels(c *drivers.TaskConfig) map[string]string {
	all := map[string]string{
		"NOMAD_ALLOC_ID":   c.AllocID,
		"NOMAD_JOB_ID":     c.JobID,
		"NOMAD_JOB_NAME":   c.JobName,
		"NOMAD_GROUP_NAME": c.TaskGroupName,
		"NOMAD_NAMESPACE":  c.Namespace,
		"NOMAD_TASK_NAME":  c.Name,
		"NOMAD_NODE_ID":    c.NodeID,
	}
	for k, v := range all {
		if all[k] = printable(v); v == "" {
			delete(all, k)
		}
	}
	return all
}

// printable is s without what a label cannot hold, at most 256 bytes of it.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == '\\' || r == utf8.RuneError || unicode.IsSpace(r) || r == 0x2028 || r == 0x2029 {
			return '_'
		}
		return r
	}, s)
	for len(s) > 256 {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

var envName = regexp.MustCompile(`\A[A-Za-z_][A-Za-z0-9_]*\z`)

// environment is the task's environment. systemd drops a variable it does not
// like without a word, so such a variable is an error here.
func environment(c *drivers.TaskConfig) (map[string]string, error) {
	env := maps.Clone(c.DeviceEnv)
	if env == nil {
		env = make(map[string]string, len(c.Env))
	}
	maps.Copy(env, c.Env)
	for k, v := range env {
		if !envName.MatchString(k) {
			// Nomad itself makes variables of names with dots and dashes, for
			// ports and neighbours; they have a twin with underscores.
			if strings.HasPrefix(k, "NOMAD_") {
				delete(env, k)
				continue
			}
			return nil, fmt.Errorf("env: %q is not a name systemd takes; use letters, digits and underscores", k)
		}
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("env: the value of %s is not valid UTF-8; put binary data into a file", k)
		}
		if i := strings.IndexFunc(v, func(r rune) bool { return (r < 0x20 && r != '\t' && r != '\n') || r == 0x7f }); i >= 0 {
			return nil, fmt.Errorf("env: the value of %s holds the control character %q, which systemd does not pass on; put it into a file", k, v[i])
		}
	}
	return env, nil
}
