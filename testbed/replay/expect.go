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

var (
	// test(m, "exec-user-" NOBODY_USER_NAME ".service", CONDITION ? 0 : EXIT_GROUP, CLD_EXITED);
	testCall = regexp.MustCompile(`(?m)^\s*test\(m, ("[^;]*?), ([^;"]*(?:"\w+"\))?), CLD_(EXITED|KILLED)\);`)
	errno    = regexp.MustCompile(`^errno_from_name\("(\w+)"\)$`)
)

// names are the macros in the names of unit files, as Debian has them.
var names = strings.NewReplacer(`NOBODY_USER_NAME`, `"nobody"`, `NOBODY_GROUP_NAME`, `"nogroup"`)

// Expectations reads from systemd's src/test/test-execute.c how each unit file is
// to end for the manager of a system that has all it needs.
func Expectations(source string) (map[string]Expected, error) {
	all := make(map[string]Expected)
	for _, call := range testCall.FindAllStringSubmatch(source, -1) {
		name := strings.ReplaceAll(strings.ReplaceAll(names.Replace(call[1]), `"`, ""), " ", "")
		if _, ok := all[name]; ok {
			continue // again, when something has changed on the host
		}
		end, err := ending(call[2])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.TrimSpace(call[0]), err)
		}
		if call[3] == "KILLED" {
			all[name] = Expected{Signal: end}
		} else {
			all[name] = Expected{Code: end}
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
