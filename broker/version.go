// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"nomad-systemd-driver/broker/policy"
)

// newEnough refuses directives that the running systemd does not know or was not
// built for: it would drop some of them without a word.
func (s *Server) newEnough(d *policy.Decision) error {
	running, features := s.systemd.Version(), strings.Fields(s.systemd.Features())
	for _, v := range d.Values() {
		if v.Needs != "" && !slices.Contains(features, "+"+v.Needs) {
			return &startError{fmt.Sprintf("%s, as profile %q or the task sets it, needs a systemd that is built with %s, and that of this host is not "+
				"(systemctl --version); remove it, or run the task elsewhere", v.Directive, d.Profile(), v.Needs)}
		}
		if v.Directive == "RestrictFileSystems" && !s.bpfLSM {
			return &startError{fmt.Sprintf("RestrictFileSystems, as profile %q or the task sets it, needs a kernel with the BPF LSM in force, "+
				"and that of this host has not (/sys/kernel/security/lsm); remove it, or run the task elsewhere", d.Profile())}
		}
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

// bpfLSM reports whether the kernel lets BPF programs decide on access.
func bpfLSM() bool {
	text, err := os.ReadFile("/sys/kernel/security/lsm")
	return err == nil && slices.Contains(strings.Split(strings.TrimSpace(string(text)), ","), "bpf")
}
