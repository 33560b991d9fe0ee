// SPDX-License-Identifier: MPL-2.0

// Package migrate reads jobs that were written for other drivers and says, task by
// task, what of them works with the driver systemd, what must be changed, what a rule
// of the policy must allow, and what there is no way to do. It is pure: from the text
// of a job to findings. It looks at what it knows to matter; that it is silent about
// something is no promise.
package migrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Level says how much a finding matters.
type Level string

// Note is good to know; Change must be changed in the job; Rule must be allowed by
// the policy; Unsupported cannot be done.
const (
	Note        Level = "note"
	Change      Level = "change"
	Rule        Level = "rule"
	Unsupported Level = "unsupported"
)

// Finding is about one task, or about its group if Task is empty.
type Finding struct {
	Group string `json:"group"`
	Task  string `json:"task,omitempty"`
	Level Level  `json:"level"`
	Text  string `json:"text"`
}

// Report is what is said of one job.
type Report struct {
	Job      string    `json:"job"`
	Findings []Finding `json:"findings"`
	// Policy is a draft of the rules that the job needs; empty if the policy that is
	// installed first allows it.
	Policy string `json:"policy,omitempty"`
}

// Supported reports whether there is a way to run all of the job.
func (r *Report) Supported() bool {
	return !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Level == Unsupported })
}

// The parts of a job that matter, as Nomad's API has them.
type job struct {
	ID         string
	Type       string
	TaskGroups []group
}

type group struct {
	Name     string
	Networks []struct{ Mode string }
	Volumes  map[string]struct{ Type, Source string }
	Services []service
	Tasks    []task
}

type service struct {
	Name    string
	Connect *json.RawMessage
	Checks  []struct{ Type, TaskName string }
}

type task struct {
	Name, Driver, User, KillSignal string
	Config                         map[string]any
	Services                       []service
	VolumeMounts                   []struct{ Volume string }
	Templates                      []struct {
		ChangeMode, DestPath string
		Uid, Gid             *int //nolint:revive,staticcheck // Nomad's names
	}
	Resources struct {
		MemoryMB, MemoryMaxMB int
		Devices               []struct{ Name string }
	}
}

// Read takes a job as "nomad job inspect" or "nomad job run -output" prints it.
func Read(text []byte) (*Report, error) {
	var wrapped struct{ Job *job }
	if err := json.Unmarshal(text, &wrapped); err != nil {
		return nil, fmt.Errorf("cannot read the job: it is not JSON as nomad job inspect prints it: %w", err)
	}
	j := wrapped.Job
	if j == nil {
		j = new(job)
		if err := json.Unmarshal(text, j); err != nil {
			return nil, fmt.Errorf("cannot read the job: %w", err)
		}
	}
	if j.ID == "" || len(j.TaskGroups) == 0 {
		return nil, errors.New("cannot read the job: it has no ID or no TaskGroups; print it with: nomad job inspect JOB")
	}
	r := &Report{Job: j.ID, Findings: []Finding{}}
	var rules []string
	taken := make(map[string]bool)
	for i := range j.TaskGroups {
		g := &j.TaskGroups[i]
		r.group(g)
		for k := range g.Tasks {
			e := &examination{report: r, group: g, task: &g.Tasks[k]}
			e.examine()
			if !e.needs.none() {
				rules = append(rules, e.needs.hcl(ruleName(taken, j.ID, g.Name, e.task.Name)))
			}
		}
	}
	if len(rules) > 0 {
		r.Policy = "version = 1\n\n" + strings.Join(rules, "\n")
	}
	return r, nil
}

func (r *Report) group(g *group) {
	add := func(l Level, format string, args ...any) {
		r.Findings = append(r.Findings, Finding{Group: g.Name, Level: l, Text: fmt.Sprintf(format, args...)})
	}
	for _, n := range g.Networks {
		switch {
		case n.Mode == "" || n.Mode == "host":
		case n.Mode == "none":
			add(Change, `network mode "none": use "host", and network = "none" in the config of each task`)
		default:
			add(Unsupported, "network mode %q: only the network of the host; ports are those of the host, and mapped ones (to = …) are not", n.Mode)
		}
	}
	for name, v := range g.Volumes {
		if v.Type == "csi" {
			add(Unsupported, "volume %q (csi): to mount it, an agent must be root", name)
			continue
		}
		add(Rule, "volume %q (%s): the rule must list its path on the node in its volumes block", name, v.Type)
	}
	for _, s := range g.Services {
		if s.Connect != nil {
			add(Unsupported, "service %q uses Consul Connect, which needs the network mode bridge", s.Name)
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		if a.Group != g.Name || b.Group != g.Name {
			return 0
		}
		return strings.Compare(a.Text, b.Text)
	})
}
