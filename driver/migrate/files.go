// SPDX-License-Identifier: MPL-2.0

package migrate

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// needVolumes is about volumes of docker and podman: "/of/the/host:/in/the/task:options".
func needVolumes(e *examination, v any) {
	list, _ := v.([]any)
	for _, entry := range list {
		parts := strings.Split(fmt.Sprint(entry), ":")
		readOnly := len(parts) > 2 && slices.Contains(strings.Split(parts[2], ","), "ro")
		e.needVolume(parts[0], readOnly)
	}
}

// needMounts is about mount blocks of docker.
func needMounts(e *examination, v any) {
	list, _ := v.([]any)
	for _, entry := range list {
		m, _ := entry.(map[string]any)
		if kind := m["type"]; kind != nil && kind != "bind" {
			e.add(Change, "mount of type %q: see volume_mount and tmpfs", fmt.Sprint(kind))
			continue
		}
		source, _ := m["source"].(string)
		e.needVolume(source, m["readonly"] == true)
	}
}

// needVolume puts a directory of the host into the draft.
func (e *examination) needVolume(source string, readOnly bool) {
	source = path.Clean(source)
	switch {
	case !path.IsAbs(source):
		e.add(Change, "volume %q: what is in the task's own directories is there, below /local and /alloc; the driver has no named volumes, see volume_mount", source)
	case within(closed, source) != "":
		e.add(Unsupported, "volume %q: no task has %s of the host, whatever the policy says", source, within(closed, source))
	case !writable(source):
		e.add(Change, "volume %q: a policy cannot name such a path; use another one", source)
	case readOnly:
		e.needs.readOnly = append(e.needs.readOnly, source)
	case within(closedToWriting, source) != "":
		e.add(Change, "volume %q: no task writes to %s, whatever the policy says; use bind_ro if it need not", source, within(closedToWriting, source))
		e.needs.readOnly = append(e.needs.readOnly, source)
	default:
		e.needs.readWrite = append(e.needs.readWrite, source)
	}
}

// needDevices is about devices of docker, which are blocks, and of podman, which are
// written "/of/the/host:/in/the/task:rwm".
func needDevices(e *examination, v any) {
	list, _ := v.([]any)
	for _, entry := range list {
		node, _, _ := strings.Cut(fmt.Sprint(entry), ":")
		if m, ok := entry.(map[string]any); ok {
			node, _ = m["host_path"].(string)
		}
		switch {
		case slices.Contains(closedDevices, node):
			e.add(Unsupported, "device %q: with it a task would be as good as root", node)
		case !writable(node) || !strings.HasPrefix(node, "/dev/"):
			e.add(Change, "device %q: a policy cannot name it; write a node below /dev", node)
		default:
			e.needs.devices = append(e.needs.devices, node)
		}
	}
}

// needCapabilities tells those that a rule can allow from those that none can.
func needCapabilities(e *examination, v any) {
	names, _ := v.([]any)
	var can, cannot []string
	for _, n := range names {
		name := strings.TrimPrefix(strings.ToLower(fmt.Sprint(n)), "cap_")
		if slices.Contains(capabilities, name) {
			can = append(can, name)
		} else {
			cannot = append(cannot, name)
		}
	}
	if len(can) > 0 {
		e.needs.directives = append(e.needs.directives, "AmbientCapabilities", "CapabilityBoundingSet")
		e.add(Rule, "capabilities %s", strings.Join(can, ", "))
	}
	if len(cannot) > 0 {
		e.add(Unsupported, "capabilities %s: no policy can allow others than %s", strings.Join(cannot, ", "), strings.Join(capabilities, ", "))
	}
}

// needPriority: before others in the queue of those that are killed when memory is short.
func needPriority(e *examination, v any) {
	if n, ok := v.(float64); ok && n < 0 {
		e.needs.directives = append(e.needs.directives, "OOMScoreAdjust")
		e.add(Rule, "oom_score_adjust = %v", n)
	}
}
