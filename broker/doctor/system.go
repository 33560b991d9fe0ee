// SPDX-License-Identifier: MPL-2.0

package doctor

import (
	"context"
	"slices"
	"strconv"
	"strings"
)

// What the broker is tested with and needs; docs/compatibility.md.
const (
	oldestSystemd     = 252
	oldestKernelMajor = 6
	oldestKernelMinor = 1
)

func (h *Host) checkSystemd(context.Context) Finding {
	if h.Systemd == nil {
		return bad("run this on a host with systemd, as root or with a system bus", noSystemd)
	}
	version := h.Systemd.Version()
	if n, ok := leadingNumber(version); !ok || n < oldestSystemd {
		return bad("upgrade the distribution: systemd 252 came with Debian 12, Ubuntu 23.04 and RHEL 9.2", "systemd %s is older than %d", version, oldestSystemd)
	}
	return good("systemd %s", version)
}

// leadingNumber: of "252.39-1~deb12u1" 252, of "v257" 257.
func leadingNumber(s string) (int, bool) {
	s = strings.TrimPrefix(s, "v")
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(s)
	}
	n, err := strconv.Atoi(s[:end])
	return n, err == nil
}

func (h *Host) checkKernel(context.Context) Finding {
	major, rest, _ := strings.Cut(h.Kernel, ".")
	x, ok1 := leadingNumber(major)
	y, ok2 := leadingNumber(rest)
	if !ok1 || !ok2 {
		return warning("compare it with docs/compatibility.md", "the kernel's release %q is not a version", h.Kernel)
	}
	if x < oldestKernelMajor || x == oldestKernelMajor && y < oldestKernelMinor {
		return warning("boot Linux 6.1 or newer: older ones are not tested", "Linux %s", h.Kernel)
	}
	return good("Linux %s", h.Kernel)
}

// controllers that the limits of jobs need.
var controllers = []string{"cpu", "cpuset", "io", "memory", "pids"}

func (h *Host) checkControlGroups(context.Context) Finding {
	text, err := h.read("/sys/fs/cgroup/cgroup.controllers")
	if err != nil {
		return bad("boot with systemd.unified_cgroup_hierarchy=1 and without cgroup_no_v1=, then reboot",
			"the host does not use cgroup v2 alone: %v", err)
	}
	var missing []string
	for _, c := range controllers {
		if !slices.Contains(strings.Fields(text), c) {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		return bad("remove cgroup_disable= from the kernel's command line, or enable them in its configuration",
			"cgroup v2 without the controllers %s: limits of jobs would not be enforced", strings.Join(missing, ", "))
	}
	return good("cgroup v2 with %s", strings.Join(controllers, ", "))
}

func (h *Host) checkPressure(context.Context) Finding {
	if _, err := h.read("/proc/pressure/cpu"); err != nil {
		return warning("boot with psi=1", "no pressure stall information: statistics lack it")
	}
	return good("pressure stall information is there")
}

func (h *Host) checkSeccomp(context.Context) Finding {
	if h.Systemd == nil {
		return skipped(noSystemd)
	}
	if !slices.Contains(strings.Fields(h.Systemd.Features()), "+SECCOMP") {
		return bad("use a systemd that is built with seccomp", "systemd is built without seccomp: profiles with SystemCallFilter= would protect nothing")
	}
	return good("systemd filters system calls")
}

func (h *Host) checkBPF(context.Context) Finding {
	if h.Systemd == nil {
		return skipped(noSystemd)
	}
	if !slices.Contains(strings.Fields(h.Systemd.Features()), "+BPF_FRAMEWORK") {
		return skipped("systemd is built without BPF_FRAMEWORK: jobs with restrict_ports, RestrictFileSystems= or RestrictNetworkInterfaces= are refused")
	}
	return good("systemd loads BPF programs")
}
