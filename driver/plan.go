// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/nomad/helper/pluginutils/hclspecutils"
	"github.com/hashicorp/nomad/helper/pluginutils/hclutils"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/drivers"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// plannedAlloc stands for the allocation that a job does not have yet.
const plannedAlloc = "00000000-0000-0000-0000-000000000000"

// What Nomad gives a task that does not say (DefaultResources in Nomad's api).
const (
	defaultCPU      = 100
	defaultMemoryMB = 300
)

// maxJob bounds the file of a job.
const maxJob = 16 << 20

// plannedJob is what a request is made of in the output of "nomad job run -output".
type plannedJob struct {
	ID, Name, Namespace string
	TaskGroups          []struct {
		Name  string
		Tasks []plannedTask
	}
}

type plannedTask struct {
	Name, Driver, User string
	Config             map[string]any
	Identity           *plannedIdentity
	Identities         []plannedIdentity
	Env                map[string]string
	Resources          struct {
		CPU, Cores, MemoryMB *int
		MemoryMaxMB          *int
	}
}

// Agent is the part of an agent's configuration on which requests depend.
type Agent struct {
	AllocDir string // alloc_dir
	Identity string // of the driver's plugin block
}

// DefaultAgent is how an agent is configured unless it says otherwise.
var DefaultAgent = Agent{AllocDir: "/var/lib/nomad/alloc", Identity: defaultIdentity}

// Plan reads a job as "nomad job run -output" prints it, and returns what the
// driver would ask the broker for its tasks: one request for each task of this
// driver. What only a scheduled task has is a placeholder: ids, cores, ports, and
// variables that Nomad fills in. agent is what its configuration says of them.
func Plan(job io.Reader, agent Agent) ([]*brokerv1.UnitSpec, error) {
	text, err := io.ReadAll(io.LimitReader(job, maxJob+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the job: %w", err)
	}
	if len(text) > maxJob {
		return nil, fmt.Errorf("the job is larger than %d bytes", maxJob)
	}
	var file struct {
		Job *plannedJob
		plannedJob
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("this is not a job in JSON: %w; make one with: nomad job run -output JOB.nomad.hcl", err)
	}
	j := file.Job
	if j == nil {
		j = &file.plannedJob
	}
	if len(j.TaskGroups) == 0 {
		return nil, errors.New("this is no job, or one without groups; make one with: nomad job run -output JOB.nomad.hcl")
	}
	var all []*brokerv1.UnitSpec
	for _, g := range j.TaskGroups {
		for _, t := range g.Tasks {
			if t.Driver != Name {
				continue
			}
			spec, err := t.request(j, g.Name, agent)
			if err != nil {
				return nil, fmt.Errorf("group %q, task %q: %w", g.Name, t.Name, err)
			}
			all = append(all, spec)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("job %q has no task with driver = %q", j.ID, Name)
	}
	return all, nil
}

func (t *plannedTask) request(j *plannedJob, group string, agent Agent) (*brokerv1.UnitSpec, error) {
	c := &drivers.TaskConfig{
		ID: path.Join(plannedAlloc, t.Name, "planned"), AllocID: plannedAlloc, Name: t.Name,
		JobID: j.ID, JobName: or(j.Name, j.ID), Namespace: or(j.Namespace, "default"), TaskGroupName: group,
		User: t.User, AllocDir: path.Join(agent.AllocDir, plannedAlloc),
		Resources: t.resources(),
	}
	known := map[string]string{
		"NOMAD_ALLOC_DIR": "/alloc", "NOMAD_TASK_DIR": "/local", "NOMAD_SECRETS_DIR": "/secrets",
		"NOMAD_JOB_ID": c.JobID, "NOMAD_JOB_NAME": c.JobName, "NOMAD_NAMESPACE": c.Namespace,
		"NOMAD_GROUP_NAME": group, "NOMAD_TASK_NAME": t.Name,
	}
	for k, v := range t.Env {
		if _, reserved := known[k]; !reserved {
			known[k] = v
		}
	}
	spec, diags := hclspecutils.Convert(taskConfigSpec)
	if diags.HasErrors() {
		return nil, diags
	}
	config, _, errs := hclutils.ParseHclInterface(fill(t.Config, known), spec, nil)
	if len(errs) > 0 {
		return nil, fmt.Errorf("config: %w", errors.Join(errs...))
	}
	if err := c.EncodeDriverConfig(config); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	planned, err := plannedSpec(c)
	if err != nil {
		return nil, err
	}
	planned.IdentityToken, err = t.plannedToken(agent.Identity)
	return planned, err
}

func (t *plannedTask) resources() *drivers.Resources {
	value := func(p *int, otherwise int) int64 {
		if p == nil || *p == 0 {
			return int64(otherwise)
		}
		return int64(*p)
	}
	cpuset := ""
	if n := value(t.Resources.Cores, 0); n > 0 {
		cpuset = "0-" + strconv.FormatInt(n-1, 10)
	}
	return &drivers.Resources{
		NomadResources: &structs.AllocatedTaskResources{Memory: structs.AllocatedMemoryResources{
			MemoryMB:    value(t.Resources.MemoryMB, defaultMemoryMB),
			MemoryMaxMB: value(t.Resources.MemoryMaxMB, 0),
		}},
		LinuxResources: &drivers.LinuxResources{CPUShares: value(t.Resources.CPU, defaultCPU), CpusetCpus: cpuset},
	}
}

var reference = regexp.MustCompile(`\$\{\s*(?:env\.)?([A-Za-z_][A-Za-z0-9_]*)\s*\}|\$?\$\{|%?%\{`)

// fill replaces the variables that are known in all strings of a config block,
// and leaves the text of all others.
func fill(v any, known map[string]string) any {
	switch v := v.(type) {
	case string:
		return reference.ReplaceAllStringFunc(v, func(ref string) string {
			if m := reference.FindStringSubmatch(ref); m[1] != "" {
				if value, ok := known[m[1]]; ok {
					return literal.Replace(value)
				}
			}
			if ref[1] == ref[0] { // an escape already
				return ref
			}
			return ref[:1] + ref
		})
	case []any:
		filled := make([]any, len(v))
		for i := range v {
			filled[i] = fill(v[i], known)
		}
		return filled
	case map[string]any:
		filled := make(map[string]any, len(v))
		for k := range v {
			filled[k] = fill(v[k], known)
		}
		return filled
	}
	return v
}

// literal writes text so that it is no template.
var literal = strings.NewReplacer("${", "$${", "%{", "%%{")

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
