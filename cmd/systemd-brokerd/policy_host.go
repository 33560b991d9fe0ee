// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"

	"nomad-systemd-driver/broker"
	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/program"
	"nomad-systemd-driver/broker/users"
)

// hostFiles are the flags of a tool for the host that a policy is for: this one, or
// another whose users and groups are in two files.
type hostFiles struct{ passwd, group string }

func (h *hostFiles) flags(flags *flag.FlagSet) {
	flags.StringVar(&h.passwd, "passwd", "", "passwd `file` of the host that the policy is for, with --group; nothing is asked of this host then")
	flags.StringVar(&h.group, "group", "", "group `file` of that host")
}

// elsewhere is whether the policy is for another host.
func (h *hostFiles) elsewhere() bool { return h.passwd != "" }

func (h *hostFiles) users() (*users.Users, error) {
	switch {
	case (h.passwd == "") != (h.group == ""):
		return nil, errors.New("--passwd and --group go together")
	case h.passwd == "":
		return hostUsers()
	}
	return users.Read(h.passwd, h.group)
}

// read is the policy in dir, for the tools, which put nothing in force: it does not ask
// who can write to the files.
func (h *hostFiles) read(dir string) (*policy.Policy, error) { return h.readWith(dir, "", "") }

// readWith is read with one more file, unless its name is empty.
func (h *hostFiles) readWith(dir, more, text string) (*policy.Policy, error) {
	names, err := h.users()
	if err != nil {
		return nil, err
	}
	return readPolicy(dir, names, more, text)
}

// notAsCalled says why a program would not be started though the policy allows its
// path; empty if it would, or is of another host.
func (h *hostFiles) notAsCalled(r *policy.Request) string {
	if h.elsewhere() {
		return ""
	}
	return new(program.Host).Refusal(r)
}

// lintHost is this host.
func lintHost() *policy.Host {
	return &policy.Host{
		Has: exists,
		Changeable: func(path string) string {
			at, _ := new(program.Host).Changeable(path) // Has tells of those that are not there
			return at
		},
		TellsUnits: broker.TellsPeerUnit(),
		HasUnit:    hasUnit,
	}
}

// hasUnit looks for a unit's file where systemd does.
func hasUnit(name string) bool {
	names := []string{name}
	if template, rest, ok := strings.Cut(name, "@"); ok {
		_, suffix, _ := strings.Cut(rest, ".")
		names = append(names, template+"@."+suffix)
	}
	for _, dir := range []string{"/etc/systemd/system", "/run/systemd/system", "/run/systemd/transient", "/run/systemd/generator", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"} {
		for _, name := range names {
			if exists(filepath.Join(dir, name)) {
				return true
			}
		}
	}
	return false
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
