// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"strconv"
	"strings"

	"nomad-systemd-driver/broker/policy"
)

// newEnough refuses directives that the running systemd does not know: it would
// drop some of them without a word.
func (s *Server) newEnough(d *policy.Decision) error {
	running := s.systemd.Version()
	for _, v := range d.Values() {
		if v.Since > major(running) {
			return &startError{fmt.Sprintf("%s, as profile %q or the task sets it, needs systemd %d, and this host has %s; "+
				"remove it, or run the task where systemd is newer", v.Directive, d.Profile(), v.Since, running)}
		}
	}
	return nil
}

// major is the first number of a version of systemd such as "252.39-1~deb12u2".
func major(version string) int {
	end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(version)
	}
	n, err := strconv.Atoi(version[:end])
	if err != nil {
		return 0 // then nothing that is new is there
	}
	return n
}
