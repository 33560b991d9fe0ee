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
		var needs, instead string
		switch {
		case v.Needs != "" && !slices.Contains(features, "+"+v.Needs):
			needs, instead = "a systemd that is built with "+v.Needs, "that of this host is not (systemctl --version)"
		case v.Directive == "RestrictFileSystems" && !s.bpfLSM:
			needs, instead = "a kernel with the BPF LSM in force", "that of this host has not (/sys/kernel/security/lsm)"
		case v.Since > major(running):
			needs, instead = fmt.Sprintf("systemd %d", v.Since), "this host has "+running
		default:
			continue
		}
		return &startError{fmt.Sprintf("directive \"%s=%s\"%s needs %s, and %s; remove it, or run the task on a host that has what it needs",
			v.Directive, v.Text, ofProfile(d, v.Directive), needs, instead)}
	}
	return nil
}

// ofProfile tells that the request did not ask for a directive itself.
func ofProfile(d *policy.Decision, name string) string {
	if slices.ContainsFunc(d.Request().Directives, func(r policy.Directive) bool { return r.Name == name }) {
		return ""
	}
	return fmt.Sprintf(" of profile %q", d.Profile())
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
