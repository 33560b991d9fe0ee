// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"maps"
	"slices"
)

// Peer is who asks, as the kernel says (SO_PEERCRED, SO_PEERPIDFD). Policy decides on
// the uid and, where a client has one, the unit; a pid is soon somebody else's.
type Peer struct {
	UID uint32
	PID int32
	// Unit is the system service of the process that connected; empty if that cannot
	// be told for certain.
	Unit string
}

// Request is what a client asks for, checked to be well-formed but not yet to
// be allowed.
type Request struct {
	// ID is the client's own id for the unit.
	ID string
	// Name are words for the unit's name, for people to read.
	Name []string
	// Labels are kept in the unit; they are claims of the client.
	Labels map[string]string
	// Command is an absolute path in the unit's own view of the file system. Of a
	// session it may also be a file name, which systemd looks for there.
	Command string
	Args    []string
	Env     map[string]string
	// User is the name of a user; empty asks for an ephemeral uid.
	User string
	// UserManager asks for the control group of the user's own service manager.
	UserManager bool
	// Group is the name of a group; empty takes the user's own.
	Group string
	// SupplementaryGroups are names of groups, each once and sorted.
	SupplementaryGroups []string
	Directories         Directories
	Resources           Resources
	LogDriver           LogDriver
	LogRate             LogRate
	// WorkingDirectory is an absolute path in the unit's view, or empty.
	WorkingDirectory string
	// Profile names a profile; empty takes the rule's first.
	Profile string
	// Rootfs is what the unit sees of the host beside its own directories.
	Rootfs Rootfs
	// Devices are device nodes that the unit may use.
	Devices []Device
	// NetworkNamespace is the path of a network namespace of the host to run in; empty
	// for none.
	NetworkNamespace string
	// Volumes are what the unit sees of the host beyond its own directories.
	Volumes []Volume
	// Directives are further directives, each once and sorted by name.
	Directives []Directive
	// Credentials are secrets for the unit's program, each name once, sorted by name.
	Credentials []Credential
	// Proof is what the caller found out about the labels, see [Proof].
	Proof Proof
	// Session is set for a program that is to run beside a unit, which the named
	// Rule allowed: only that rule can allow the session.
	Session bool
	Rule    string

	memo *memo // of the decision that is under way, else nil
}

// Directories are the host's directories that a unit sees as /alloc, /local and
// /secrets.
type Directories struct{ Alloc, Local, Secrets string }

// Volume is a directory or file of the host at Destination in a unit's view. Both
// are clean absolute paths.
type Volume struct {
	Source, Destination string
	ReadOnly            bool
	// Image is set if the source is a disk image, and ReadOnly with it.
	Image bool
}

// Resources are the limits a client asks for.
type Resources struct {
	CPUWeight            uint64
	CPUs                 []uint32
	MemoryLow, MemoryMax uint64 // bytes
	MemoryUnlimited      bool
	// TasksMax is the number of processes and threads; 0 takes the rule's limit.
	TasksMax uint64
}

// LogDriver is where a unit's output goes.
type LogDriver string

// The log drivers there are.
const (
	LogFDs     LogDriver = "fds"     // descriptors the client hands over
	LogJournal LogDriver = "journal" // the host's journal
	LogNone    LogDriver = "none"    // nowhere
)

// LogRate limits a unit's lines in the journal; zero leaves the host's default.
type LogRate struct {
	Burst        uint32 // lines in each interval
	IntervalUSec uint64
}

// clone is a copy that shares no memory with r.
func (r *Request) clone() *Request {
	c := *r
	c.memo = nil
	c.Name = slices.Clone(r.Name)
	c.Labels = maps.Clone(r.Labels)
	c.Args = slices.Clone(r.Args)
	c.Env = maps.Clone(r.Env)
	c.SupplementaryGroups = slices.Clone(r.SupplementaryGroups)
	c.Credentials = slices.Clone(r.Credentials)
	for i, v := range c.Credentials {
		c.Credentials[i].Content = slices.Clone(v.Content)
	}
	c.Resources.CPUs = slices.Clone(r.Resources.CPUs)
	c.Devices = slices.Clone(r.Devices)
	c.Volumes = slices.Clone(r.Volumes)
	c.Directives = slices.Clone(r.Directives)
	for i, d := range c.Directives {
		c.Directives[i].Lines = slices.Clone(d.Lines)
	}
	return &c
}
