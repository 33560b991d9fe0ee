// SPDX-License-Identifier: MPL-2.0

// Package doctor checks a host step by step: is there all that the broker and an
// agent without privileges need, and is nothing wider open than it should be. Each
// finding says how to mend it. Nothing is changed.
package doctor

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"nomad-systemd-driver/broker/inspect"
	"nomad-systemd-driver/broker/policy"
)

// Result of a check.
type Result string

// Good needs nothing; Warning works, but not as well or as safely as it could;
// Bad must be mended; Skipped could not be checked, or does not apply.
const (
	Good    Result = "good"
	Warning Result = "warning"
	Bad     Result = "bad"
	Skipped Result = "skipped"
)

// Finding is what one check found.
type Finding struct {
	Check  string `json:"check"`
	Result Result `json:"result"`
	Detail string `json:"detail"`
	Mend   string `json:"mend,omitempty"`
}

// Host is what is looked at.
type Host struct {
	Systemd inspect.Systemd // nil if PID 1 cannot be reached
	// Root is put in front of all paths; empty but in tests.
	Root   string
	Kernel string // release of the running kernel
	// Policy is what is on disk, or PolicyError why it cannot be loaded.
	Policy      *policy.Policy
	PolicyError error
	// Users is the host's.
	Users policy.Resolver
	// Mappable reports whether ids can be mapped in a directory, and its file system.
	Mappable func(dir string) (ok bool, fileSystem string, err error)
	// InForce is what the broker says of itself with Policy in force.
	InForce string
}

// checks in the order in which they are done and shown: a later one may fail
// because an earlier one did.
var checks = []struct {
	name string
	do   func(*Host, context.Context) Finding
}{
	{"systemd", (*Host).checkSystemd},
	{"kernel", (*Host).checkKernel},
	{"control groups", (*Host).checkControlGroups},
	{"pressure", (*Host).checkPressure},
	{"seccomp", (*Host).checkSeccomp},
	{"bpf", (*Host).checkBPF},
	{"policy", (*Host).checkPolicy},
	{"api socket", func(h *Host, ctx context.Context) Finding {
		return h.checkSocket(ctx, inspect.APISocket, "/run/systemd-brokerd/broker.sock", 0o007)
	}},
	{"descriptor socket", func(h *Host, ctx context.Context) Finding {
		return h.checkSocket(ctx, inspect.FDSocket, "/run/systemd-brokerd/fds.sock", 0o007)
	}},
	{"mount socket", func(h *Host, ctx context.Context) Finding {
		return h.checkSocket(ctx, inspect.MountSocket, "/run/systemd-brokerd/mounts.sock", 0o077)
	}},
	{"mounts", (*Host).checkMounts},
	{"broker", (*Host).checkBroker},
	{"policy in force", (*Host).checkInForce},
	{"clients", (*Host).checkClients},
	{"alloc_root", (*Host).checkAllocRoots},
	{"id mapping", (*Host).checkMapping},
	{"agent's unit", (*Host).checkAgentUnit},
	{"agent", (*Host).checkAgent},
	{"driver", (*Host).checkDriver},
}

// Examine does all checks.
func Examine(ctx context.Context, h *Host) []Finding {
	findings := make([]Finding, 0, len(checks))
	for _, c := range checks {
		f := c.do(h, ctx)
		f.Check = c.name
		findings = append(findings, f)
	}
	return findings
}

func good(format string, args ...any) Finding {
	return Finding{Result: Good, Detail: fmt.Sprintf(format, args...)}
}

func skipped(format string, args ...any) Finding {
	return Finding{Result: Skipped, Detail: fmt.Sprintf(format, args...)}
}

func warning(mend, format string, args ...any) Finding {
	return Finding{Result: Warning, Detail: fmt.Sprintf(format, args...), Mend: mend}
}

func bad(mend, format string, args ...any) Finding {
	return Finding{Result: Bad, Detail: fmt.Sprintf(format, args...), Mend: mend}
}

const noSystemd = "systemd cannot be reached"

func (h *Host) path(p string) string { return filepath.Join("/", h.Root, p) }

func (h *Host) stat(p string) (fs.FileInfo, error) { return os.Lstat(h.path(p)) }

func (h *Host) read(p string) (string, error) {
	text, err := os.ReadFile(h.path(p))
	return strings.TrimSpace(string(text)), err
}
