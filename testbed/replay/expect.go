// SPDX-License-Identifier: MPL-2.0

package replay

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Expected is how a program is to end.
type Expected struct {
	Code   int32
	Signal int32 // 0 if it exits by itself
}

// Test is how systemd's own test runs a unit file.
type Test struct {
	Expected
	// User must be on the host, with a group of that name, or it is empty.
	User string
}

var (
	// test(m, "exec-user-" NOBODY_USER_NAME ".service", CONDITION ? 0 : EXIT_GROUP, CLD_EXITED);
	testCall = regexp.MustCompile(`(?m)^(?: *if \(check_user_has_group_with_same_name\("(\w+)"\)\)\n)?\s*test\(m, ("[^;]*?), ([^;"]*(?:"\w+"\))?), CLD_(EXITED|KILLED)\);`)
	// #elif defined(__s390__) and what follows.
	processor = regexp.MustCompile(`(?m)^#(?:el)?if defined\(__\w+\).*\n(?:(?:[^#\n].*|# .*)?\n)*`)
	errno     = regexp.MustCompile(`^errno_from_name\("(\w+)"\)$`)
)

// names are the macros in the names of unit files, as Debian has them.
var names = strings.NewReplacer(`NOBODY_USER_NAME`, `"nobody"`, `NOBODY_GROUP_NAME`, `"nogroup"`)

// Expectations reads from systemd's src/test/test-execute.c how each unit file is
// to end for the manager of a system that has all it needs, on amd64, which
// runs what is for i386 as well.
func Expectations(source string) (map[string]Test, error) {
	source = processor.ReplaceAllStringFunc(source, func(part string) string {
		if strings.Contains(part, "__x86_64__") || strings.Contains(part, "__i386__") {
			return part
		}
		return ""
	})
	all := make(map[string]Test)
	for _, call := range testCall.FindAllStringSubmatch(source, -1) {
		name := strings.ReplaceAll(strings.ReplaceAll(names.Replace(call[2]), `"`, ""), " ", "")
		if _, ok := all[name]; ok {
			continue // again, when something has changed on the host
		}
		end, err := ending(call[3])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.TrimSpace(call[0]), err)
		}
		if call[4] == "KILLED" {
			all[name] = Test{Expected{Signal: end}, call[1]}
		} else {
			all[name] = Test{Expected{Code: end}, call[1]}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no unit file is named in it")
	}
	return all, nil
}

// ending is the first alternative of an expression.
func ending(expression string) (int32, error) {
	if _, then, ok := strings.Cut(expression, "?"); ok {
		expression, _, _ = strings.Cut(then, ":")
	}
	expression = strings.TrimSpace(expression)
	if m := errno.FindStringSubmatch(expression); m != nil {
		for e := unix.Errno(1); e < 256; e++ {
			if unix.ErrnoName(e) == m[1] {
				return int32(e), nil
			}
		}
	}
	if sig := unix.SignalNum(expression); sig != 0 {
		return int32(sig), nil //nolint:gosec // signal numbers are small
	}
	switch expression {
	case "status", "EXIT_SUCCESS": // int status = can_unshare ? 0 : EXIT_NAMESPACE
		return 0, nil
	case "EXIT_EXEC":
		return 203, nil
	}
	n, err := strconv.ParseInt(expression, 10, 32)
	return int32(n), err
}
