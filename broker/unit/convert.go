// SPDX-License-Identifier: MPL-2.0

package unit

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/directive"
	"nomad-systemd-driver/broker/policy"
)

// Host is what the broker prepared on this host for one unit. All paths are
// the broker's own or root's; none can be changed by a client.
type Host struct {
	// Root is the root directory, unless Image is a disk image, with the RootHash
	// of its verity data or none. RootVerity is where these are, if not in the image.
	Root, Image, RootHash, RootVerity string
	// RootHashSignature is that of RootHash, which PID 1 has verified, or empty.
	RootHashSignature []byte
	// Hidden are paths that the unit does not see.
	Hidden []string
	// Systemd is the major version of PID 1.
	Systemd int
	// Alloc, Local and Secrets are where PID 1 finds the directories that the unit
	// sees by these names; Volumes are further ones.
	Alloc, Local, Secrets string
	Volumes               []Volume
	// RuntimeDir is that of the user's manager, for a unit that runs in it.
	RuntimeDir string
	// ReadOnly are host files and directories to show read-only at the same
	// place in the unit's view; those that do not exist are left out.
	ReadOnly []string
	// Passwd and Group are shown as /etc/passwd and /etc/group, if not empty.
	Passwd, Group string
	// EnvironmentFile holds the unit's environment and is readable by root only.
	EnvironmentFile string
	// Stdout and Stderr are descriptors for policy.LogFDs and for a session;
	// unused otherwise.
	Stdout, Stderr int
	// SharedCPUs are for a unit that asks for no CPUs of its own; empty for all.
	SharedCPUs []uint32
	// Credentials are files that root alone can read, for the unit's program.
	Credentials []Credential
	// Session is set if the decision is about a session.
	Session *Session
	// DynamicUser is the name of the unit's user if the decision names none. A session
	// has that of its unit: the same name is the same uid.
	DynamicUser string
	// Fields are journal fields the broker adds to the client's labels, and
	// from which it knows its unit again after a restart.
	Fields map[string]string
}

// Volume is shown to a unit at Destination of its view: what is in it, if it is an
// Image.
type Volume struct {
	Source, Destination string
	ReadOnly, Image     bool
}

// Session is what a program that runs beside a unit needs of that unit.
type Session struct {
	Unit  string // the unit's name
	Stdin int    // descriptor
}

// Credential is LoadCredential= on D-Bus, a(ss): name, path.
type Credential struct{ Name, Path string }

// exec is ExecStart= on D-Bus, a(sasb): path, argv, ignore a failure.
//
// Not ExecStartEx=, which has a flag for what literal does: systemd 252 writes it into
// the unit's file under that name, does not know it when it reads the file again at a
// daemon-reload, and lifts the limits of a unit that it cannot read.
type exec struct {
	Path          string
	Argv          []string
	IgnoreFailure bool
}

// literal is an argument that systemd expands to arg: "$$" is a dollar sign, and what
// follows it is no variable (systemd.service(5), "Command lines").
func literal(arg string) string { return strings.ReplaceAll(arg, "$", "$$") }

// bind is BindPaths= and BindReadOnlyPaths= on D-Bus, a(ssbt): source,
// destination, ignore a missing source, mount flags.
type bind struct {
	Source, Destination string
	IgnoreMissing       bool
	Flags               uint64
}

// msRec binds the mounts below the source as well (MS_REC of mount(2)).
const msRec = 1 << 14

// environmentFile is EnvironmentFiles= on D-Bus, a(sb): path, ignore if missing.
type environmentFile struct {
	Path          string
	IgnoreMissing bool
}

// From makes the unit a decision allows. It fails only if the decision and the
// host do not fit together, which is a mistake in the broker.
func From(d *policy.Decision, h Host) (*Unit, error) {
	r, c := d.Request(), d.Client()
	u := &Unit{name: Name(c.UnitPrefix, r.Name, r.ID)}
	u.add(
		str("Description", description(d, u.name)),
		str("Slice", c.Slice),
	)
	if _, named := d.User(); !named && h.DynamicUser == "" {
		return nil, errors.New("cannot convert a request for an ephemeral user without the user's name")
	}
	u.add(lifecycle...)
	u.add(program(d, h, u.name)...)
	u.add(identity(d, h)...)
	if _, ok := d.UserManager(); ok {
		user, _ := d.User()
		u.add(managed(user.UID)...)
	}
	u.add(resources(d, h)...)
	files, err := view(r, h)
	if err != nil {
		return nil, err
	}
	u.add(files...)
	output, err := stdio(r, h)
	if err != nil {
		return nil, err
	}
	u.add(output...)
	if r.NetworkNamespace != "" {
		u.add(str("NetworkNamespacePath", r.NetworkNamespace))
	}
	u.add(fields(r.Labels, h.Fields))
	if len(h.Credentials) > 0 {
		u.add(Property{"LoadCredential", dbus.MakeVariant(h.Credentials)})
	}
	values := append(decided(d.Values()), hidden(h)...)
	memory, err := ownSharedMemory(r, values)
	if err != nil {
		return nil, err
	}
	values = append(values, memory...)
	values = append(values, noURing(values))
	values = append(values, ipc(h)...)
	if h.Systemd >= logSocketsSince {
		values = append(values, boolean("BindLogSockets", false))
	}
	u.add(values...)
	// Forced values come last: what PID 1 reads last is in force.
	u.add(floor...)
	u.intend(h.Systemd)
	return u, nil
}

// decided are properties of the profile and the request's directives.
func decided(values []directive.Setting) []Property {
	all := make([]Property, len(values))
	for i, v := range values {
		all[i] = Property{v.Name, inRoot(v.Value)}
	}
	return all
}

// pathLists are directives whose paths PID 1 takes for the host's, not for those
// in RootDirectory=, unless they begin with "+".
var pathLists = []string{
	"ExecPaths", "InaccessibleDirectories", "InaccessiblePaths", "NoExecPaths", "ReadOnlyDirectories", "ReadOnlyPaths",
}

// inRoot is a value whose paths are those of the unit's own view.
func inRoot(v directive.Value) dbus.Variant {
	paths, ok := v.Value.Value().([]string)
	if !ok || !slices.Contains(pathLists, v.Name) {
		return v.Value
	}
	inside := make([]string, len(paths))
	for i, p := range paths {
		bare, optional := strings.CutPrefix(p, "-")
		if inside[i] = "+" + strings.TrimPrefix(bare, "+"); optional {
			inside[i] = "-" + inside[i]
		}
	}
	return dbus.MakeVariant(inside)
}

func (u *Unit) add(p ...Property) { u.properties = append(u.properties, p...) }

func description(d *policy.Decision, unit string) string {
	return fmt.Sprintf("%s task %s", d.Client().UnitPrefix, unit)
}

func program(d *policy.Decision, h Host, unit string) []Property {
	r := d.Request()
	argv := append([]string{r.Command}, r.Args...)
	if _, ok := d.UserManager(); ok {
		argv = scoped(d, h, unit, argv)
	}
	path := argv[0]
	for i := range argv { // systemd expands all of it, also the name, but not the path
		argv[i] = literal(argv[i])
	}
	wd := r.WorkingDirectory
	if wd == "" {
		wd = "/local"
	}
	return []Property{
		{"ExecStart", dbus.MakeVariant([]exec{{path, argv, false}})},
		str("WorkingDirectory", wd),
	}
}

func resources(d *policy.Decision, h Host) []Property {
	r := d.Request().Resources
	props := []Property{
		number("TasksMax", d.TasksMax()),
	}
	if r.CPUWeight != 0 {
		props = append(props, number("CPUWeight", r.CPUWeight))
	}
	cpus := r.CPUs
	if len(cpus) == 0 {
		cpus = h.SharedCPUs
	}
	if len(cpus) > 0 {
		props = append(props, AllowedCPUs(cpus))
	}
	if r.MemoryLow != 0 {
		props = append(props, number("MemoryLow", r.MemoryLow))
	}
	if !r.MemoryUnlimited {
		props = append(props, number("MemoryMax", r.MemoryMax))
	}
	return props
}

// AllowedCPUs confines a unit to CPUs; none lifts it. It can be changed while the
// unit runs.
func AllowedCPUs(cpus []uint32) Property {
	return Property{"AllowedCPUs", dbus.MakeVariant(cpuMask(cpus))}
}

// cpuMask is a set of CPUs as PID 1 takes it: a little endian bit mask.
func cpuMask(cpus []uint32) []byte {
	if len(cpus) == 0 {
		return []byte{}
	}
	mask := make([]byte, slices.Max(cpus)/8+1)
	for _, cpu := range cpus {
		mask[cpu/8] |= 1 << (cpu % 8)
	}
	return mask
}

// view is the file system the unit sees: the skeleton root, a few read-only
// pieces of the host, and the three directories of the task, and its volumes.
func view(r *policy.Request, h Host) ([]Property, error) {
	root, err := rootOf(h)
	if err != nil {
		return nil, err
	}
	var ro []bind
	if h.Passwd != "" {
		ro = append(ro, bind{h.Passwd, "/etc/passwd", false, 0}, bind{h.Group, "/etc/group", false, 0})
	}
	for _, path := range h.ReadOnly {
		ro = append(ro, bind{path, path, true, msRec})
	}
	rw := []bind{
		{h.Alloc, "/alloc", false, 0},
		{h.Local, "/local", false, 0},
		{h.Secrets, "/secrets", false, 0},
	}
	if h.RuntimeDir != "" {
		rw = append(rw, bind{h.RuntimeDir, h.RuntimeDir, false, 0})
	}
	var images []mountImage
	for _, v := range h.Volumes {
		if v.Image {
			images = append(images, mountImage{v.Source, v.Destination, false, readOnlyImage})
		} else if v.ReadOnly {
			ro = append(ro, bind{v.Source, v.Destination, false, 0})
		} else {
			rw = append(rw, bind{v.Source, v.Destination, false, 0})
		}
	}
	var devices []pair
	for _, d := range r.Devices {
		rw = append(rw, bind{d.Path, d.Path, false, 0})
		devices = append(devices, pair{d.Path, d.Permissions})
	}
	props := append(root,
		boolean("MountAPIVFS", true),
		Property{"BindReadOnlyPaths", dbus.MakeVariant(ro)},
		Property{"BindPaths", dbus.MakeVariant(rw)},
		Property{"EnvironmentFiles", dbus.MakeVariant([]environmentFile{{h.EnvironmentFile, false}})},
	)
	if len(images) > 0 {
		props = append(props, Property{"MountImages", dbus.MakeVariant(images)})
	}
	if len(devices) > 0 {
		props = append(props, Property{"DeviceAllow", dbus.MakeVariant(devices)})
	}
	return props, nil
}

// stdio connects standard input, output and error.
func stdio(r *policy.Request, h Host) ([]Property, error) {
	if r.Session != (h.Session != nil) {
		return nil, fmt.Errorf("cannot convert a request without what was prepared for it: session %t", r.Session)
	}
	if r.Session {
		return []Property{
			descriptor("StandardInputFileDescriptor", h.Session.Stdin),
			descriptor("StandardOutputFileDescriptor", h.Stdout),
			descriptor("StandardErrorFileDescriptor", h.Stderr),
			{"JoinsNamespaceOf", dbus.MakeVariant([]string{h.Session.Unit})},
		}, nil
	}
	props := []Property{str("StandardInput", "null")}
	switch r.LogDriver {
	case policy.LogFDs:
		return append(props,
			descriptor("StandardOutputFileDescriptor", h.Stdout),
			descriptor("StandardErrorFileDescriptor", h.Stderr),
		), nil
	case policy.LogJournal:
		props = append(props, str("StandardOutput", "journal"), str("StandardError", "journal"))
		if r.LogRate.Burst != 0 {
			props = append(props,
				Property{"LogRateLimitBurst", dbus.MakeVariant(r.LogRate.Burst)},
				number("LogRateLimitIntervalUSec", r.LogRate.IntervalUSec))
		}
		return props, nil
	case policy.LogNone:
		return append(props, str("StandardOutput", "null"), str("StandardError", "null")), nil
	}
	return nil, fmt.Errorf("cannot convert log driver %q", r.LogDriver)
}

func descriptor(name string, fd int) Property {
	return Property{name, dbus.MakeVariant(dbus.UnixFD(fd))} //nolint:gosec // a descriptor fits
}

// fields are the journal fields of the unit, LogExtraFields= (aay), sorted so
// that the same request gives the same unit.
func fields(labels, own map[string]string) Property {
	var all [][]byte
	for _, m := range []map[string]string{labels, own} {
		for k, v := range m {
			all = append(all, []byte(k+"="+v))
		}
	}
	slices.SortFunc(all, slices.Compare)
	return Property{"LogExtraFields", dbus.MakeVariant(all)}
}
