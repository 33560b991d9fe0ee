// SPDX-License-Identifier: MPL-2.0

// Package replay runs the unit files of systemd's own test-execute through
// systemd-brokerd: as requests of a client, under a policy that allows as much as a
// policy can. See its end-to-end test.
package replay

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Service is what a unit file asks for, in the terms of the broker's API.
type Service struct {
	Commands         []Command // of ExecStart=
	User, Group      string
	Groups           []string // of SupplementaryGroups=
	WorkingDirectory string
	Env              map[string]string
	NetworkNamespace string
	Volumes          []Volume
	Directives       []Directive
	// Unsaid is what in it no request can say, the first of it, or nil.
	Unsaid error
}

// Volume is one of BindPaths= or BindReadOnlyPaths=.
type Volume struct {
	Source, Destination string
	ReadOnly            bool
}

// Directive is a directive with its lines, in order.
type Directive struct {
	Name  string
	Lines []string
}

// Parse reads a unit file.
func Parse(text string) (*Service, error) {
	s := &Service{Env: make(map[string]string)}
	section := ""
	for _, line := range lines(text) {
		if strings.HasPrefix(line, "[") {
			section = line
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("line %q is no assignment", line)
		}
		name = strings.TrimSpace(name)
		if err := s.assign(section, name, strings.TrimSpace(value)); err != nil {
			s.Unsaid = cmp.Or(s.Unsaid, fmt.Errorf("%s=: %w", name, err))
		}
	}
	if len(s.Commands) == 0 {
		s.Unsaid = cmp.Or(s.Unsaid, errors.New("it has no ExecStart"))
	}
	return s, nil
}

// lines are those that say something, with those that go on in the next joined.
func lines(text string) []string {
	var all []string
	open := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, ";") || trimmed == "" && !open {
			continue
		}
		part, goesOn := strings.CutSuffix(line, `\`)
		if open {
			all[len(all)-1] += " " + part
		} else {
			all = append(all, part)
		}
		open = goesOn
	}
	return all
}

func (s *Service) assign(section, name, value string) error {
	switch {
	case name == "Description", name == "Type" && value == "oneshot":
		return nil // the broker has its own
	case name == "ExecStart" && section == "[Service]":
		all, err := commands(value)
		s.Commands = append(s.Commands, all...)
		return err
	case name == "User":
		s.User = value
		return nil
	case name == "Group":
		s.Group = value
		return nil
	case name == "SupplementaryGroups":
		if s.Groups = append(s.Groups, strings.Fields(value)...); value == "" {
			s.Groups = nil
		}
		return nil
	case name == "WorkingDirectory":
		s.WorkingDirectory = value
		return nil
	case name == "Environment":
		return s.environment(value)
	case name == "NetworkNamespacePath":
		s.NetworkNamespace = value
		return nil
	case name == "BindPaths", name == "BindReadOnlyPaths":
		s.bind(value, name == "BindReadOnlyPaths")
		return nil
	}
	value, err := expanded(value, false)
	i := slices.IndexFunc(s.Directives, func(d Directive) bool { return d.Name == name })
	if i < 0 {
		s.Directives = append(s.Directives, Directive{Name: name})
		i = len(s.Directives) - 1
	}
	s.Directives[i].Lines = append(s.Directives[i].Lines, value)
	return err
}

// bind adds volumes, each SOURCE or SOURCE:DESTINATION, which nothing here quotes.
func (s *Service) bind(value string, readOnly bool) {
	for field := range strings.FieldsSeq(value) {
		source, destination, ok := strings.Cut(strings.TrimPrefix(field, "-"), ":")
		if !ok {
			destination = source
		}
		s.Volumes = append(s.Volumes, Volume{source, destination, readOnly})
	}
}

func (s *Service) environment(value string) error {
	all, err := words(value)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		clear(s.Env)
	}
	for _, word := range all {
		word, err := expanded(word, false)
		if err != nil {
			return err
		}
		k, v, _ := strings.Cut(word, "=")
		s.Env[k] = v
	}
	return nil
}
