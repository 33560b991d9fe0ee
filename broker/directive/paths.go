// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// paths are paths in the program's view, with a "-" in front if they may be
// missing and a "+" if they are below the root directory.
var paths = list("absolute paths of letters, digits and ._@+=,-/ with a - in front if they may be missing", "as", parsePaths)

func parsePaths(line string) ([]string, error) {
	fields, err := words(line)
	for _, field := range fields {
		if err := checkPath(bare(field)); err != nil {
			return nil, fmt.Errorf("has %q, which %w", field, err)
		}
	}
	return fields, err
}

// bare is a path without its prefixes.
func bare(path string) string {
	path, _ = strings.CutPrefix(path, "-")
	path, _ = strings.CutPrefix(path, "+")
	return path
}

func addPaths(set []string, line string) ([]string, error) {
	if line == "" {
		return nil, nil
	}
	more, err := parsePaths(line)
	return slices.Concat(set, more), err
}

func allIn(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

var (
	// closing are paths whose list takes rights away.
	closing = paths.with(shrinking(nil, addPaths, allIn, "drops a path"))
	// opening are paths whose list gives rights back.
	opening = paths.with(shrinking(nil, addPaths, func(before, after []string) bool {
		return allIn(after, before)
	}, "adds a path"))
)

// searchPath has colons and nothing else between its paths: for unit files a space is
// part of one.
var searchPath = list("absolute paths of letters, digits and ._@+=,-/ with colons between them", "as", func(line string) ([]string, error) {
	fields := strings.Split(line, ":")
	for _, field := range fields {
		if err := checkPath(field); err != nil {
			return nil, fmt.Errorf("has %q, which %w", field, err)
		}
	}
	return fields, nil
})

// temporary is one element of TemporaryFileSystem=, (ss).
type temporary struct{ Path, Options string }

// mountFlags are the options of a tmpfs that give no rights.
var mountFlags = []string{
	"ro", "rw", "nosuid", "nodev", "noexec",
	"atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime",
}

var errMountOption = errors.New("has a mount option other than size=, nr_inodes=, mode=, ro, rw, nosuid, nodev, noexec and those of access times")

func checkMountOption(option string) error {
	name, text, ok := strings.Cut(option, "=")
	switch {
	case !ok && slices.Contains(mountFlags, name):
		return nil
	case name == "size" || name == "nr_inodes":
		number := strings.TrimRight(text, "kKmMgG")
		if len(text)-len(number) > 1 || number == "" || !onlyOf(number, digits) {
			return errMountOption
		}
		return nil
	case name == "mode":
		// No setuid, setgid and sticky bit, which would be a fourth digit.
		if m, err := parseMode(text); err != nil || m > 0o1777 {
			return errMountOption
		}
		return nil
	}
	return errMountOption
}

var temporaryFileSystems = list(`paths with options, as "/var/cache:size=64M,mode=0755"; options are size=, nr_inodes=, mode=, ro, nosuid, nodev, noexec and noatime and its like; no size in percent, which systemd changes at a daemon-reload`, "a(ss)", func(line string) ([]temporary, error) {
	fields, err := words(line)
	if err != nil {
		return nil, err
	}
	var all []temporary
	for _, field := range fields {
		path, options, _ := strings.Cut(field, ":")
		if err := checkPath(path); err != nil {
			return nil, fmt.Errorf("has %q, which %w", path, err)
		}
		for option := range strings.SplitSeq(options, ",") {
			if options == "" {
				break
			}
			if err := checkMountOption(option); err != nil {
				return nil, err
			}
		}
		all = append(all, temporary{path, options})
	}
	return all, nil
})

// variables are names of environment variables, or assignments to remove only
// if they are exactly so.
var variables = list("names of environment variables, or NAME=VALUE for one with that value", "as", func(line string) ([]string, error) {
	fields, err := words(line)
	for _, field := range fields {
		name, text, _ := strings.Cut(field, "=")
		if !onlyOf(name, letters+digits+"_") || strings.Contains(digits, name[:1]) || strings.Contains(text, "$") {
			return nil, fmt.Errorf("has %q, which is not a name of an environment variable", field)
		}
	}
	return fields, err
}).distinct()

// exitStatuses is SuccessExitStatus= on D-Bus, (aiai).
type exitStatuses struct{ Statuses, Signals []int32 }

var exitStatusSet = format{
	accepts:   "exit statuses by number or name and signals by name, as \"3 SIGKILL TEMPFAIL\"",
	signature: "(aiai)",
	parse: func(d *Directive, lines []string) ([]Value, error) {
		empty := exitStatuses{[]int32{}, []int32{}}
		var values []Value
		set := empty
		for _, line := range lines {
			if line == "" {
				values, set = []Value{value(d.Name, empty)}, exitStatuses{[]int32{}, []int32{}}
				continue
			}
			if err := set.add(line); err != nil {
				return nil, d.fail(line, err.Error())
			}
		}
		if len(set.Statuses)+len(set.Signals) > 0 {
			values = append(values, value(d.Name, set))
		}
		return values, nil
	},
}

func (s *exitStatuses) add(line string) error {
	fields, err := words(line)
	if err != nil {
		return err
	}
	for _, field := range fields {
		if n, ok := exitStatusNumbers[field]; ok {
			s.Statuses = append(s.Statuses, int32(n)) //nolint:gosec // at most 255
			continue
		}
		if onlyOf(field, digits) {
			n, err := parseInt(field, 0, 255)
			if err != nil {
				return err
			}
			s.Statuses = append(s.Statuses, int32(n)) //nolint:gosec // at most 255
			continue
		}
		n, err := parseSignal(field)
		if err != nil {
			return unknown("exit status or signal", field, keys(exitStatusNumbers))
		}
		s.Signals = append(s.Signals, int32(n)) //nolint:gosec // at most 64
	}
	return nil
}
