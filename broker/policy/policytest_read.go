// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"nomad-systemd-driver/broker/directive"
)

func (r *reader) testRunning() Usage {
	var now Usage
	b := r.block("running", runningSchema)
	if b == nil {
		return now
	}
	if b.has("units") {
		now.Units = int(b.number("units", "10", 0, maxMaxUnits)) //nolint:gosec // at most maxMaxUnits
	}
	if b.has("memory") {
		now.Memory = b.size("memory")
	}
	if b.has("starts") {
		now.Starts = int(b.number("starts", "30", 0, maxStarts)) //nolint:gosec // at most maxStarts
	}
	return now
}

// texts is a block of strings with any names.
func (r *reader) texts(name string) map[string]string {
	all := map[string]string{}
	if b := r.open(name); b != nil {
		for _, key := range slices.Sorted(maps.Keys(b.body.Attributes)) {
			all[key] = b.str(key, `"text"`).text
		}
	}
	return all
}

// testVolumes asks for each source at a destination that nothing else has.
func (r *reader) testVolumes(q *Request) {
	b := r.block("volumes", volumesSchema)
	if b == nil {
		return
	}
	for _, key := range volumesSchema.attributes {
		for _, v := range b.list(key) {
			destination := fmt.Sprintf("/volumes/%d", len(q.Volumes))
			q.Volumes = append(q.Volumes, Volume{Source: v.text, Destination: destination, ReadOnly: key == "read_only"})
		}
	}
}

func (r *reader) testResources(q *Request) {
	q.Resources.MemoryMax = 64 << 20
	if q.Resources.MemoryUnlimited = r.boolean("memory_unlimited"); q.Resources.MemoryUnlimited {
		q.Resources.MemoryMax = 0
	}
	if r.has("memory_max") {
		q.Resources.MemoryMax = r.size("memory_max")
	}
	if r.has("tasks_max") {
		q.Resources.TasksMax = r.number("tasks_max", "512", 1, maxTasksMax)
	}
	if r.has("credentials") {
		q.Credentials = []Credential{{Name: "t", Content: make([]byte, min(max(r.size("credentials"), 1), 2*maxCredentials)-1)}}
	}
	if r.has("cpu_weight") {
		q.Resources.CPUWeight = r.number("cpu_weight", "100", 1, maxCPUWeight)
	}
}

func (r *reader) testDirectives(q *Request) {
	lines := map[string][]string{}
	if b := r.open("directives"); b != nil {
		for _, name := range slices.Sorted(maps.Keys(b.body.Attributes)) {
			for _, v := range b.list(name) {
				lines[name] = append(lines[name], v.text)
			}
			d, ok := directive.Lookup(name)
			if !ok {
				b.fail(b.at(name), "there is no directive %s", name)
			} else if _, err := d.Settings(lines[name]); err != nil && d.Refusal() == "" {
				b.fail(b.at(name), "%v", err)
			}
		}
	}
	if m := capabilitiesOf(r); m.mask != 0 { // as capabilities.add of a job does
		all := strings.Join(m.names(), " ")
		lines[ambient], lines["CapabilityBoundingSet"] = []string{all}, []string{all}
	}
	if r.has("cpu_percent") { // the language has no "%"
		lines["CPUQuota"] = []string{strconv.FormatUint(r.number("cpu_percent", "150", 1, maxCPUPercent), 10) + "%"}
	}
	if r.has("network") {
		switch v := r.str("network", `"none"`); Network(v.text) {
		case NetworkNone:
			lines["PrivateNetwork"] = []string{"yes"}
		case NetworkHost:
		default:
			if q.NetworkNamespace = v.text; !isNamespacePath(v.text) {
				r.fail(v.at, "%q is not a network; known: host, none, and paths of network namespaces as /run/netns/NAME", v.text)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		q.Directives = append(q.Directives, Directive{name, lines[name]})
	}
}
