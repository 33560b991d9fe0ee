// SPDX-License-Identifier: MPL-2.0

package migrate

import (
	"maps"
	"slices"
)

// key is what becomes of a key of another driver's config.
type key struct {
	level Level
	text  string
	// also does more than to tell; nil if there is no more.
	also func(*examination, any)
}

// keys of raw_exec, exec, java and docker. Those that are equal in all of them are in
// sameKeys.
var keys = map[string]key{
	"work_dir":           {Change, "is called workdir", nil},
	"oom_score_adj":      {Change, "is called oom_score_adjust; below 0 the rule must allow it", needPriority},
	"cap_add":            {Change, "is called capabilities { add = […] }", needCapabilities},
	"cap_drop":           {Note, "tasks have no capabilities but those that capabilities { add } names", nil},
	"pid_mode":           {Note, "tasks see their own processes in /proc, and no others", nil},
	"ipc_mode":           {Note, "tasks have message queues of their own", nil},
	"no_cgroups":         {Unsupported, "each task has a control group", nil},
	"cgroup_v2_override": {Unsupported, "the control group of a task is below the slice of the policy's client", nil},
	"cgroup_v1_override": {Unsupported, "there is only cgroup v2", nil},
	"denied_envvars":     {Note, "not needed: the agent's environment is not passed on", nil},
	"jvm_options":        {Change, "write them into args, before -jar", nil},
	"jar_path":           {Change, "write it into args, after -jar", nil},
	"class":              {Change, "write it into args", nil},
	"class_path":         {Change, "write it into args, after -cp", nil},

	"unveil": {Change, "write bind_ro = { \"/of/the/host\" = \"/in/the/task\" } for what is not in /usr; the rule must list the paths in its volumes block", nil},

	"image":              {Note, "", nil}, // said already
	"privileged":         {Note, "", nil},
	"entrypoint":         {Change, "command and args are all there is", nil},
	"ports":              {Note, "not needed: a task can bind all ports of the host; restrict_ports = true narrows it to those of the job", nil},
	"network_mode":       {Change, `network = "host" or "none"`, nil},
	"volumes":            {Change, "write bind = { \"/of/the/host\" = \"/in/the/task\" } or bind_ro for what is of the host; the rule must list the paths in its volumes block", needVolumes},
	"mount":              {Change, "write bind = { \"/of/the/host\" = \"/in/the/task\" } or bind_ro for what is of the host; the rule must list the paths in its volumes block", needMounts},
	"mounts":             {Change, "write bind = { \"/of/the/host\" = \"/in/the/task\" } or bind_ro for what is of the host; the rule must list the paths in its volumes block", needMounts},
	"devices":            {Change, "is a list such as [\"/dev/fuse:rw\"]; the rule must list the nodes in its devices", needDevices},
	"hostname":           {Unsupported, "tasks have the name of the host", nil},
	"extra_hosts":        {Unsupported, "tasks have the host's /etc/hosts", nil},
	"dns_servers":        {Unsupported, "tasks resolve names as the host does", nil},
	"sysctl":             {Unsupported, "tasks cannot change the kernel", nil},
	"readonly_rootfs":    {Note, "is so always", nil},
	"pids_limit":         {Change, "is called tasks_max", nil},
	"ulimit":             {Note, "is the same; limits are numbers, or soft:hard", nil},
	"security_opt":       {Change, "see docs/profiles.md: a profile, and systemd { } for more", nil},
	"logging":            {Change, `logging { driver = "nomad" | "journald" | "none" }`, nil},
	"cpu_hard_limit":     {Note, "is the same", nil},
	"memory_hard_limit":  {Change, "is resources.memory_max", nil},
	"shm_size":           {Note, "/dev/shm is as large as the task's memory allows", nil},
	"tmpfs":              {Change, "is a list such as [\"/scratch:size=64M\"]; /tmp is private already", nil},
	"auth":               {Note, "", nil},
	"force_pull":         {Note, "", nil},
	"image_pull_timeout": {Note, "", nil},
	"labels":             {Note, "the journal has Nomad's names as fields, and no others", nil},
}

var sameKeys = []string{"command", "args"}

// keys goes through the config.
func (e *examination) keys() {
	for _, name := range slices.Sorted(maps.Keys(e.task.Config)) {
		value := e.task.Config[name]
		if slices.Contains(sameKeys, name) || empty(value) {
			continue
		}
		k, ok := keys[name]
		switch {
		case !ok:
			e.add(Change, "%s: the driver systemd has no such key; docs/job-reference.md lists all", name)
		case k.text != "":
			e.add(k.level, "%s: %s", name, k.text)
		}
		if k.also != nil {
			k.also(e, value)
		}
	}
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}
