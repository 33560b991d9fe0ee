// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"nomad-systemd-driver/broker/directive"
)

// DefaultProfile is the profile of rules that name none.
const DefaultProfile = "default"

// builtin are the profiles that every broker has. An operator's profile of the
// same name takes the place of one.
//
//go:embed profiles/*.conf
var builtin embed.FS

// Directive is one directive of a unit file with its lines, in order.
type Directive struct {
	Name  string
	Lines []string
}

// Profile is a named set of directives.
type Profile struct {
	Name       string
	Directives []Directive // sorted by name
	Text       string      // the file
}

// lines are those of one directive, none if the profile does not set it.
func (p *Profile) lines(name string) []string {
	if p == nil {
		return nil
	}
	for _, d := range p.Directives {
		if d.Name == name {
			return d.Lines
		}
	}
	return nil
}

// Profiles reads the profiles that every broker has and those in the root of
// own, files named *.conf, which may be nil. An error in a file is a [*LoadError].
func Profiles(own fs.FS) (map[string]*Profile, error) {
	profiles, _, err := readProfiles(own)
	return profiles, err
}

func readProfiles(own fs.FS) (map[string]*Profile, []*source, error) {
	inside, err := fs.Sub(builtin, "profiles")
	if err != nil {
		return nil, nil, err
	}
	profiles := map[string]*Profile{}
	var all []*source
	for _, fsys := range []fs.FS{inside, own} {
		if fsys == nil {
			continue
		}
		files, err := readFiles(fsys, ".conf")
		if err != nil {
			return nil, nil, err
		}
		for _, f := range files {
			p, err := parseProfile(f)
			if err != nil {
				return nil, nil, err
			}
			profiles[p.Name] = p
			f.name = "profiles/" + f.name
			all = append(all, f)
		}
	}
	return profiles, all, nil
}

// parseProfile reads a file in the syntax of unit files: [Service], Name=value,
// and comments.
func parseProfile(f *source) (*Profile, error) {
	name := strings.TrimSuffix(f.name, ".conf")
	if !namePattern.MatchString(name) {
		return nil, &LoadError{File: f.name, Problem: "is not named NAME.conf with 1 to 64 of [A-Za-z0-9._-], the first a letter or digit"}
	}
	if err := f.checkText(); err != nil {
		return nil, err
	}
	set := map[string][]string{}
	at, section := span{}, false
	for line := range bytes.Lines(f.text) {
		at = span{at.end, at.end + len(line)}
		text := strings.Trim(string(line), " \t\r\n")
		here := span{at.start, at.start + len(bytes.TrimRight(line, "\r\n"))}
		switch key, value, assigned := strings.Cut(text, "="); {
		case text == "" || text[0] == '#' || text[0] == ';':
		case text == "[Service]":
			section = true
		case !section:
			return nil, f.errorAt(here, "a profile begins with [Service]")
		case !assigned || strings.HasSuffix(text, `\`):
			return nil, f.errorAt(here, "this is not Name=value on one line")
		default:
			key = strings.Trim(key, " \t")
			set[key] = append(set[key], strings.Trim(value, " \t"))
			if err := checkLines(key, set[key]); err != nil {
				return nil, f.errorAt(here, "%v", err)
			}
		}
	}
	p := &Profile{Name: name, Text: string(f.text)}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		p.Directives = append(p.Directives, Directive{key, set[key]})
	}
	return p, nil
}

// checkLines says what is wrong with a directive, in words for whoever wrote it.
func checkLines(name string, lines []string) error {
	d, err := known(name)
	if err != nil {
		return err
	}
	_, err = d.Settings(lines)
	return err
}

// known is the directive with this name.
func known(name string) (*directive.Directive, error) {
	if d, ok := directive.Lookup(name); ok {
		return d, nil
	}
	if like, ok := directive.Nearest(name); ok {
		return nil, fmt.Errorf("there is no directive %s; did you mean %s?", name, like)
	}
	return nil, fmt.Errorf("there is no directive %s; systemd-brokerd directives lists all", name)
}

// resolve is what the profile and the lines of a request set together.
func resolve(p *Profile, more []Directive) ([]directive.Setting, error) {
	lines := map[string][]string{}
	for _, d := range slices.Concat(p.Directives, more) {
		lines[d.Name] = append(lines[d.Name], d.Lines...)
	}
	var all []directive.Setting
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		d, err := known(name)
		if err != nil {
			return nil, err
		}
		values, err := d.Settings(lines[name])
		if err != nil {
			return nil, err
		}
		all = append(all, values...)
	}
	return all, nil
}
