// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

const maxPath = 4096

// pathPattern is narrower than what a file name may be: in a unit file white
// space, ":", "%" and quotes mean something else in many places.
var pathPattern = regexp.MustCompile(`\A/[A-Za-z0-9._@+=,/-]*\z`)

// absolute is a path that means what it says.
func absolute(text string) (string, error) {
	if len(text) > maxPath || !pathPattern.MatchString(text) || path.Clean(text) != text {
		return "", errors.New(`is not an absolute path of [A-Za-z0-9._@+=,/-] without "//", "." and ".."`)
	}
	return text, nil
}

// inView is a path with the prefixes of systemd.exec(5): "-" for one that may be
// missing, "+" for one in the root directory of the unit.
func inView(word string) (string, error) {
	bare := strings.TrimPrefix(strings.TrimPrefix(word, "-"), "+")
	if _, err := absolute(bare); err != nil {
		return "", fmt.Errorf("holds %s, which %w", word, err)
	}
	return word, nil
}

// searchPath is a list of directories, one or several to a line.
func searchPath(lines []string) ([]Value, error) {
	for i, line := range lines {
		lines[i] = strings.ReplaceAll(line, ":", " ")
	}
	return list("ExecSearchPath", absolute)(lines)
}

// pair is a struct of two strings on D-Bus, (ss).
type pair struct{ First, Second string }

// tmpfsOptions are the options of tmpfs(5) that take only from the unit or have
// a meaning inside of it alone.
var (
	tmpfsFlags  = []string{"ro", "rw", "nosuid", "nodev", "noexec"}
	tmpfsOption = regexp.MustCompile(`\A(size=[0-9]{1,15}[kKmMgG%]?|nr_inodes=[0-9]{1,15}[kKmMgG]?|mode=0?[0-7]{3,4})\z`)
)

// temporaryFileSystem is a list of path[:options].
func temporaryFileSystem(lines []string) ([]Value, error) {
	var all []pair
	for _, word := range words(lines) {
		where, options, _ := strings.Cut(word, ":")
		if _, err := absolute(where); err != nil {
			return nil, fmt.Errorf("holds %s, which %w", where, err)
		}
		for option := range strings.SplitSeq(options, ",") {
			if option != "" && !slices.Contains(tmpfsFlags, option) && !tmpfsOption.MatchString(option) {
				return nil, fmt.Errorf("holds the option %s; known are size=, nr_inodes=, mode=, %s", option, strings.Join(tmpfsFlags, ", "))
			}
		}
		all = append(all, pair{where, options})
	}
	if all == nil {
		return nil, nil
	}
	return only("TemporaryFileSystem", all), nil
}

var deviceGroup = regexp.MustCompile(`\A(char|block)-[A-Za-z0-9*?_./-]{1,64}\z`)

// deviceAllow is a device node or a group of devices, and what may be done with
// it: r, w and m.
func deviceAllow(line string) ([]pair, error) {
	device, rights, _ := strings.Cut(line, " ")
	rights = strings.TrimLeft(rights, blank)
	if rights == "" {
		rights = "rwm"
	}
	if clean, err := absolute(device); (err != nil || !strings.HasPrefix(clean, "/dev/")) && !deviceGroup.MatchString(device) {
		return nil, fmt.Errorf("names %s, which is neither a path below /dev nor char-… or block-…", device)
	}
	if len(rights) > 3 || strings.Trim(rights, "rwm") != "" {
		return nil, fmt.Errorf("ends in %s, which is not made of r, w and m", rights)
	}
	return []pair{{device, rights}}, nil
}

// deviceLimit is a limit for one block device, (st).
type deviceLimit struct {
	Path  string
	Value uint64
}

// perDevice is "path value", of which the path is a block device or lies on one.
func perDevice(bus string, read func(string) (uint64, error)) parser {
	return items(bus, func(line string) ([]deviceLimit, error) {
		device, text, ok := strings.Cut(line, " ")
		if _, err := absolute(device); err != nil || !ok {
			return nil, errors.New(`is not an absolute path, a space and a value, such as "/dev/sda 10M"`)
		}
		text = strings.TrimLeft(text, blank)
		n, err := read(text)
		if err != nil {
			return nil, fmt.Errorf("has the value %s, which %w", text, err)
		}
		return []deviceLimit{{device, n}}, nil
	})
}
