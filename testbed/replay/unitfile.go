// SPDX-License-Identifier: MPL-2.0

// Package replay runs the unit files of systemd's own test-execute through
// systemd-brokerd: as requests of a client, under a policy that allows as much as a
// policy can. See its end-to-end test.
package replay

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Service is what a unit file asks for, in the terms of the broker's API.
type Service struct {
	Commands         [][]string // each of ExecStart=, its words
	User, Group      string
	Groups           []string // of SupplementaryGroups=
	WorkingDirectory string
	Env              map[string]string
	Directives       []Directive
}

// Directive is a directive with its lines, in order.
type Directive struct {
	Name  string
	Lines []string
}

// Parse reads a unit file. The error tells what in it no request can say.
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
		if err := s.assign(section, strings.TrimSpace(name), strings.TrimSpace(value)); err != nil {
			return nil, err
		}
	}
	if len(s.Commands) == 0 {
		return nil, fmt.Errorf("it has no ExecStart")
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
		words, err := command(value)
		if err != nil {
			return err
		}
		s.Commands = append(s.Commands, words)
		return nil
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
	}
	i := slices.IndexFunc(s.Directives, func(d Directive) bool { return d.Name == name })
	if i < 0 {
		s.Directives = append(s.Directives, Directive{Name: name})
		i = len(s.Directives) - 1
	}
	s.Directives[i].Lines = append(s.Directives[i].Lines, value)
	return nil
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
		k, v, _ := strings.Cut(word, "=")
		if strings.Contains(v, "%") {
			return fmt.Errorf("a specifier stands in Environment=%s", word)
		}
		s.Env[k] = v
	}
	return nil
}

// command are the words of a line of ExecStart=, with nothing left for systemd to
// replace in them.
func command(line string) ([]string, error) {
	if i := strings.IndexFunc(line, func(r rune) bool { return !strings.ContainsRune("@-:+!|", r) }); i > 0 {
		return nil, fmt.Errorf("ExecStart=%s has a prefix, and arguments of requests have none", line)
	}
	all, err := words(line)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 || slices.Contains(all, ";") {
		return nil, fmt.Errorf("ExecStart=%s is not one command", line)
	}
	for i, word := range all {
		if all[i], err = literal(word); err != nil {
			return nil, fmt.Errorf("ExecStart=%s: %w, and arguments of requests arrive as they are", line, err)
		}
	}
	return all, nil
}

// literal takes "$$" and "%%" for what they stand for.
func literal(word string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(word); i++ {
		c := word[i]
		if c != '$' && c != '%' {
			b.WriteByte(c)
			continue
		}
		next := byte(0)
		if i+1 < len(word) {
			next = word[i+1]
		}
		switch {
		case next == c:
			i++
		case c == '%':
			return "", fmt.Errorf("systemd replaces the specifier %%%c", next)
		case next == '{' || next == '_' || next >= 'A' && next <= 'Z' || next >= 'a' && next <= 'z':
			return "", fmt.Errorf("systemd replaces a variable")
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

// words splits a line at white space, with the quotes and escapes of
// systemd.syntax(7).
func words(line string) ([]string, error) {
	var all []string
	var b strings.Builder
	quote, inWord := byte(0), false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line):
			i += escape(&b, line[i+1:])
			inWord = true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			b.WriteByte(c)
		case c == '"' || c == '\'':
			quote, inWord = c, true
		case c == ' ' || c == '\t':
			if inWord {
				all = append(all, b.String())
				b.Reset()
				inWord = false
			}
		default:
			b.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("%q: a quote is not closed", line)
	}
	if inWord {
		all = append(all, b.String())
	}
	return all, nil
}

var escapes = map[byte]byte{
	'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', 's': ' ',
	'\\': '\\', '"': '"', '\'': '\'',
}

// escape writes what stands after a backslash, and returns its length. What is no
// escape stands for itself, backslash included, as PID 1 takes it after a warning.
func escape(b *strings.Builder, rest string) int {
	if c, ok := escapes[rest[0]]; ok {
		b.WriteByte(c)
		return 1
	}
	if rest[0] == 'x' && len(rest) >= 3 {
		if c, err := strconv.ParseUint(rest[1:3], 16, 8); err == nil {
			b.WriteByte(byte(c))
			return 3
		}
	}
	b.WriteByte('\\')
	b.WriteByte(rest[0])
	return 1
}
