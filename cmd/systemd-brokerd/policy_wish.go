// SPDX-License-Identifier: MPL-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nomad-systemd-driver/broker/policy"
)

// wish is what one task was denied, as often as it was, in all its forms.
type wish struct {
	client              *policy.Client
	command, user       string
	labels              map[string]string // of the client's, without the prefix
	denial              string            // the last one
	times               int
	memory, tasks       uint64
	unlimited, manager  bool
	logs, profiles      []string
	groups              []string
	readOnly, readWrite []string // volumes
	rootfs, images      []string
	devices             []string
	credentials         int
	requests            []*policy.Request

	grants // what the policy says is missing still
}

func (w *wish) label(name string) string { return w.labels[name] }

// grants are what a rule must name, found out by trying.
type grants struct {
	networks, env, capabilities []string
	directives                  []string            // with any value
	values                      map[string][]string // of directives
}

// taskLabels are the labels that name a task, whichever its allocation is.
var taskLabels = []string{"NAMESPACE", "JOB_ID", "GROUP_NAME", "TASK_NAME"}

// wishesOf are the denied starts that the policy still denies: those that a rule
// could allow, and those that a never forbids or whose proof is missing.
func wishesOf(p *policy.Policy, records []recorded) (wanted, forbidden []*wish, malformed int) {
	p, _ = p.IgnoringArgs()
	byKey := map[string]*wish{}
	for _, rec := range records {
		if !rec.denied || rec.session {
			continue
		}
		c, err := clientOf(p, rec.client)
		if err != nil {
			malformed++
			continue
		}
		r, err := requestOf(rec.spec, c)
		if err != nil {
			malformed++
			continue
		}
		_, err = p.Decide(c.Peer(), r)
		denial, denied := errors.AsType[*policy.Denial](err)
		if !denied {
			continue
		}
		labels := map[string]string{}
		for _, name := range taskLabels {
			if v, ok := r.Labels[c.LabelPrefix()+name]; ok {
				labels[name] = v
			}
		}
		key := fmt.Sprint(c.Name, labels, r.Command, r.User, denial.Never, denial.Subject == "identity")
		w := byKey[key]
		if w == nil {
			w = &wish{client: c, command: r.Command, user: r.User, labels: labels}
			byKey[key] = w
		}
		w.add(r, denial)
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		if w := byKey[key]; w.forbidden(p) {
			forbidden = append(forbidden, w)
		} else {
			wanted = append(wanted, w)
		}
	}
	return wanted, forbidden, malformed
}

func (w *wish) forbidden(p *policy.Policy) bool {
	_, err := p.Decide(w.client.Peer(), w.requests[0])
	d, ok := errors.AsType[*policy.Denial](err)
	// A rule that does not ask for proof would be the way round the one that does.
	return ok && (d.Never != "" || d.Subject == "identity")
}

func (w *wish) add(r *policy.Request, d *policy.Denial) {
	w.times++
	w.denial = d.Error()
	w.requests = append(w.requests, r)
	w.memory = max(w.memory, r.Resources.MemoryMax, r.Resources.MemoryLow)
	w.manager = w.manager || r.UserManager
	w.unlimited = w.unlimited || r.Resources.MemoryUnlimited
	w.tasks = max(w.tasks, r.Resources.TasksMax)
	w.logs = with(w.logs, string(r.LogDriver))
	w.profiles = with(w.profiles, cmp.Or(r.Profile, policy.DefaultProfile))
	if r.Group != "" {
		w.groups = with(w.groups, r.Group)
	}
	for _, g := range r.SupplementaryGroups {
		w.groups = with(w.groups, g)
	}
	w.rootfs = with(w.rootfs, string(cmp.Or(r.Rootfs.Kind, policy.RootfsMinimal)))
	if r.Rootfs.Image != "" {
		w.images = with(w.images, r.Rootfs.Image)
	}
	w.credentials += len(r.Credentials)
	for _, d := range r.Devices {
		w.devices = with(w.devices, d.Path)
	}
	for _, v := range r.Volumes {
		if v.Image {
			w.images = with(w.images, v.Source)
		} else if v.ReadOnly {
			w.readOnly = with(w.readOnly, v.Source)
		} else {
			w.readWrite = with(w.readWrite, v.Source)
		}
	}
}

// unwritable is a label that no rule can ask for as it is; empty if there is none.
// A "*" in its place would make the rule that of other tasks, whose authors choose
// their names.
func (w *wish) unwritable() string {
	for _, name := range taskLabels {
		if v := w.labels[name]; strings.ContainsAny(v, unwritable) {
			return fmt.Sprintf("label %s=%q holds one of %s, which a policy cannot write; rename the job", name, v, unwritable)
		}
	}
	return ""
}

func with(all []string, s string) []string {
	if !slices.Contains(all, s) {
		all = append(all, s)
		slices.Sort(all)
	}
	return all
}
