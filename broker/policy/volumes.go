// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"
)

var volumesSchema = schema{attributes: []string{"read_only", "read_write"}}

// volumesMatcher are the directories and files of the host that tasks may see, with
// all below them.
type volumesMatcher struct{ readOnly, readWrite []string }

// closedToTasks are what no task ever sees of the host: with it a task could take
// the host over, or reach other tasks and the broker.
var closedToTasks = []string{"/boot", "/dev", "/etc/systemd-brokerd", "/proc", "/run", "/sys", "/tmp", "/var/run", "/var/tmp"}

// closedToWriting are what no task ever writes to: root, or other users, execute or
// trust what is there.
var closedToWriting = []string{
	"/bin", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/root", "/sbin", "/usr",
	"/var/cache", "/var/lib/dpkg", "/var/lib/rpm", "/var/lib/systemd", "/var/log", "/var/spool",
}

// ownPlaces are the directories of a view that are there for every task; where a
// volume covered one, or lay in one, it would take something from the sandbox.
var ownPlaces = []string{
	"/alloc", "/bin", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/local", "/proc", "/run/credentials", "/run/host",
	"/run/systemd", "/sbin", "/secrets", "/sys", "/tmp", "/usr", "/var/tmp",
}

// Showable tells whether a policy can let tasks of a client see dir of the host, and
// whether a volume can be at this place of a task's view.
func Showable(dir, allocRoot string) (source, destination bool) {
	return !overlaps(closedToTasks, dir) && !overlap(allocRoot, dir), !isOwn(dir)
}

func overlaps(places []string, dir string) bool {
	return slices.ContainsFunc(places, func(place string) bool { return overlap(place, dir) })
}

// isOwn reports whether path is a part of every task's own view.
func isOwn(path string) bool {
	return path == "/" || slices.ContainsFunc(ownPlaces, func(place string) bool { return path == place || below(place, path) })
}

func (c *compiler) volumesOf(r *reader) volumesMatcher {
	var m volumesMatcher
	if r == nil {
		return m
	}
	m.readOnly = c.places(r, "read_only", closedToTasks)
	m.readWrite = c.places(r, "read_write", slices.Concat(closedToTasks, closedToWriting))
	if len(m.readOnly)+len(m.readWrite) == 0 {
		r.fail(r.head, "%s allows nothing; write read_only or read_write, or delete it", r.title)
	}
	return m
}

func (c *compiler) places(r *reader, name string, closed []string) []string {
	var all []string
	for _, v := range r.list(name) {
		dir := r.path(v)
		if i := slices.IndexFunc(closed, func(place string) bool { return overlap(place, dir) }); i >= 0 {
			r.fail(v.at, "%s cannot hold %q: no task may have %s of the host", name, dir, closed[i])
		}
		for _, cl := range c.clients {
			if overlap(cl.AllocRoot, dir) {
				r.fail(v.at, "%s cannot hold %q: the directories of all tasks of client %q are there", name, dir, cl.Name)
			}
		}
		all = append(all, dir)
	}
	return all
}

// overlap is whether one of two clean directories holds the other, or is it.
func overlap(a, b string) bool { return a == b || a == "/" || b == "/" || below(a, b) || below(b, a) }

func volumesAllowed(_ *client, l *rule, r *Request) bool {
	return !slices.ContainsFunc(r.Volumes, func(v Volume) bool { return volumeProblem(l, v) != "" }) && volumesApart(r.Volumes)
}

// volumesApart: two volumes in one place would hide each other.
func volumesApart(all []Volume) bool {
	for i, v := range all {
		if slices.ContainsFunc(all[:i], func(other Volume) bool { return v.Destination == other.Destination }) {
			return false
		}
	}
	return true
}

func volumeProblem(l *rule, v Volume) string {
	allowed := l.volumes.readWrite
	if v.ReadOnly {
		allowed = slices.Concat(allowed, l.volumes.readOnly)
	}
	switch {
	case !cleanAbsolute(v.Source) || !cleanAbsolute(v.Destination):
		return `source and destination must be absolute paths without "//", "." and ".."`
	case isOwn(v.Destination):
		return "the destination is a part of every task's own view; choose a directory such as /data or /srv/data"
	case v.Image && l.files.requireSignature:
		return "its rule wants images signed, which those of mount_images cannot be; ask the operator for a rule without require_signature"
	case v.Image && anchorOf(l.files.images, v.Source) != "":
		return ""
	case v.Image:
		return "no rule lets this task mount the image; ask the operator to add it, or a directory that holds it, to images of a rule"
	case slices.ContainsFunc(allowed, func(dir string) bool { return v.Source == dir || below(dir, v.Source) }):
		return ""
	case overlaps(closedToTasks, v.Source):
		return "no rule can let a task see it, which the host or other tasks need for themselves; choose a directory such as /srv/data"
	case !v.ReadOnly && overlaps(closedToWriting, v.Source):
		return "no rule can let a task write to it, which root or others trust; mount it read-only, or choose a directory such as /srv/data"
	case v.ReadOnly:
		return "no rule lets this task see it; ask the operator to add it to volumes.read_only of a rule"
	case slices.ContainsFunc(l.volumes.readOnly, func(dir string) bool { return v.Source == dir || below(dir, v.Source) }):
		return "this task may only read it; mount it read-only, or ask the operator to add it to volumes.read_write of a rule"
	}
	return "no rule lets this task write to it; ask the operator to add it to volumes.read_write of a rule"
}

func volumesDenied(_ *client, l *rule, r *Request) *Denial {
	for _, v := range r.Volumes {
		if problem := volumeProblem(l, v); problem != "" {
			return &Denial{Subject: "volume", Value: v.Source + ":" + v.Destination, Reason: problem}
		}
	}
	destinations := make([]string, len(r.Volumes))
	for i, v := range r.Volumes {
		destinations[i] = v.Destination
	}
	return &Denial{
		Subject: "volumes", Value: strings.Join(destinations, " "),
		Reason: fmt.Sprintf("two of the %d volumes have the same destination; give each its own", len(r.Volumes)),
	}
}
