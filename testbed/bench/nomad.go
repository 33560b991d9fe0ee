// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/nomad/api"
)

// exec2 is the name of that driver, and exec2Plugin its program, which is beside this one
// if somebody had it.
const (
	exec2       = "exec2"
	exec2Plugin = "nomad-driver-exec2"
)

// beside names a file beside this program: of Nomad that is the one that was built with
// cgo, as the one of the test bed's image has no exec driver.
func beside(name string) (string, error) {
	self, err := os.Executable()
	return filepath.Join(filepath.Dir(self), name), err
}

// agent is a Nomad agent, server and client in one, with its peers' drivers.
type agent struct {
	client *api.Client
	pid    int
	data   string
}

const rootData = "/var/lib/nomad-root"

// nomad measures jobs of the driver, and of raw_exec, exec and exec2 under an agent that
// runs as root, which they need.
func (b *bench) nomad() error {
	if _, err := command("/usr/local/lib/testbed/start-nomad"); err != nil {
		return err
	}
	// What comes after has a driver of its own, whose units another would not know.
	defer command("systemctl", "stop", "nomad.service", "root-agent.service") //nolint:errcheck // the latter may not be there
	unprivileged, err := newAgent("nomad.service", "http://127.0.0.1:4646", "/var/lib/nomad")
	if err != nil {
		return err
	}
	root, err := startRootAgent()
	if err != nil {
		return err
	}
	agents := map[string]*agent{"systemd": unprivileged, "raw_exec": root, "exec": root, exec2: root}
	order := []string{"systemd", "raw_exec", "exec"}
	if _, err := os.Stat(rootData + "/plugins/" + exec2Plugin); err == nil {
		order = append(order, exec2)
	} else {
		b.note("no exec2 here")
	}
	for _, driver := range order {
		if err := agents[driver].ready(driver); err != nil {
			return err
		}
	}
	for round := range b.rounds + 1 {
		for i := range order {
			driver := order[(i+round)%len(order)]
			j := &job{bench: b, agent: agents[driver], driver: driver, round: round, id: fmt.Sprintf("bench-%s-%d", strings.ReplaceAll(driver, "_", "-"), round)}
			if err := j.run(); err != nil {
				return fmt.Errorf("%s, round %d: %w", driver, round, err)
			}
		}
	}
	return nil
}

func newAgent(service, address, data string) (*agent, error) {
	config := api.DefaultConfig()
	config.Address = address
	c, err := api.NewClient(config)
	if err != nil {
		return nil, err
	}
	pid, err := mainPID(service)
	return &agent{c, pid, data}, err
}

func startRootAgent() (*agent, error) {
	text, err := os.ReadFile("/etc/nomad.d/agent.hcl")
	if err != nil {
		return nil, err
	}
	config := strings.NewReplacer(
		`"/var/lib/nomad"`, `"`+rootData+`"`,
		`"/usr/libexec/nomad/plugins"`, `"`+rootData+`/plugins"`,
		`"/var/lib/nomad/alloc_mounts"`, `"`+rootData+`/alloc_mounts"`,
		`127.0.0.1:4647`, `127.0.0.1:5647`,
		`docker,exec,java,qemu,raw_exec`, `docker,java,qemu`,
		"plugin \"nomad-systemd-driver\" {\n}", "plugin \"raw_exec\" {\n  config {\n    enabled = true\n  }\n}\nports {\n  http = 5646\n  rpc  = 5647\n  serf = 5648\n}",
	).Replace(string(text))
	if _, err := command("sh", "-ec", "rm -rf "+rootData+"; mkdir -p "+rootData+"/plugins; cp -r /usr/local/lib/testbed/server/server "+rootData+"/"); err != nil {
		return nil, err
	}
	nomad, err := beside("nomad")
	if err != nil {
		return nil, err
	}
	plugin, err := beside(exec2Plugin)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(plugin); err == nil {
		if _, err := command("cp", plugin, rootData+"/plugins/"); err != nil {
			return nil, err
		}
		config += "\nplugin \"" + exec2Plugin + "\" {\n}\n"
	}
	file := rootData + ".hcl"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	if _, err := command("systemd-run", "--unit=root-agent", "--collect", "--property=KillMode=process", "--property=TasksMax=infinity", "--property=Delegate=yes",
		nomad, "agent", "-config", file); err != nil {
		return nil, err
	}
	return newAgent("root-agent", "http://127.0.0.1:5646", rootData)
}

// ready waits until the agent's node runs the driver.
func (a *agent) ready(driver string) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		nodes, _, err := a.client.Nodes().List(nil)
		if err != nil || len(nodes) != 1 || nodes[0].Status != "ready" {
			continue
		}
		if d := nodes[0].Drivers[driver]; d != nil && d.Healthy {
			return nil
		}
	}
	log, _ := command("journalctl", "--no-pager", "-n", "40", "-u", "root-agent")
	return fmt.Errorf("the agent of %s is not ready within %s:\n%s", driver, patience, log)
}

// job is one run of the worker through one driver. Round 0 is not recorded.
type job struct {
	*bench
	agent      *agent
	driver, id string
	round      int
	alloc      *api.Allocation
}

func (j *job) figure(measure string, value float64, unit string) {
	if j.round > 0 {
		j.add(measure, j.driver, "", j.round, value, unit)
	}
}

func (j *job) run() error {
	others := len(workers())
	if others != 0 {
		return fmt.Errorf("%d tasks of before still run", others)
	}
	before := helpers(j.agent.pid)
	from := time.Now()
	if err := j.submit(); err != nil {
		return err
	}
	steps := []func(time.Time) error{j.started, j.exec, j.flood, j.exit, j.stop}
	if j.driver == exec2 { // it has no alloc exec, and a signal ends its unshare
		steps = []func(time.Time) error{j.started, j.exit, j.stop}
	}
	for _, step := range steps {
		if err := step(from); err != nil {
			return err
		}
		if step := j.alloc; step == nil {
			return fmt.Errorf("the job has no allocation")
		}
		if before != nil {
			j.beside(before)
			before = nil
		}
	}
	return nil
}

func pointer[T any](v T) *T { return &v }

func (j *job) submit() error {
	job := api.NewServiceJob(j.id, j.id, "global", 50)
	job.Datacenters = []string{"*"}
	task := api.NewTask("task", j.driver).SetConfig("command", worker)
	task.Resources = &api.Resources{CPU: pointer(100), MemoryMB: pointer(64)}
	task.KillTimeout = pointer(20 * time.Second)
	task.LogConfig = &api.LogConfig{MaxFiles: pointer(2), MaxFileSizeMB: pointer(10)}
	group := api.NewTaskGroup("group", 1).AddTask(task)
	group.EphemeralDisk = &api.EphemeralDisk{SizeMB: pointer(30)}
	group.RestartPolicy = &api.RestartPolicy{Attempts: pointer(3), Interval: pointer(time.Hour), Delay: pointer(time.Duration(0)), Mode: pointer("fail")}
	job.AddTaskGroup(group)
	_, _, err := j.agent.client.Jobs().Register(job, nil)
	return err
}

// await asks again at each change until the events of the task are as wanted.
func (j *job) await(what string, good func([]*api.TaskEvent) bool) error {
	q := &api.QueryOptions{WaitTime: 5 * time.Second}
	var last []*api.TaskEvent
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if j.alloc == nil {
			stubs, meta, err := j.agent.client.Jobs().Allocations(j.id, true, q)
			if err != nil {
				return err
			}
			if q.WaitIndex = meta.LastIndex; len(stubs) > 0 {
				j.alloc, q.WaitIndex = &api.Allocation{ID: stubs[0].ID}, 0
			}
			continue
		}
		alloc, meta, err := j.agent.client.Allocations().Info(j.alloc.ID, q)
		if err != nil {
			return err
		}
		j.alloc, q.WaitIndex = alloc, meta.LastIndex
		if state := alloc.TaskStates["task"]; state != nil {
			if last = state.Events; good(last) {
				return nil
			}
			if state.State == "dead" && state.Failed {
				break
			}
		}
	}
	var text strings.Builder
	for _, e := range last {
		fmt.Fprintf(&text, "\n%s: %s", e.Type, e.DisplayMessage)
	}
	return fmt.Errorf("%s did not come:%s", what, text.String())
}

// nth is the time of the n-th event of a kind.
func nth(events []*api.TaskEvent, kind string, n int) (time.Time, bool) {
	for _, e := range events {
		if e.Type == kind {
			if n--; n == 0 {
				return time.Unix(0, e.Time), true
			}
		}
	}
	return time.Time{}, false
}

func (j *job) started(submitted time.Time) error {
	var at, setup time.Time
	err := j.await("the start", func(events []*api.TaskEvent) (ok bool) {
		setup, _ = nth(events, api.TaskSetup, 1)
		at, ok = nth(events, api.TaskStarted, 1)
		return ok
	})
	j.figure("job submit to started", at.Sub(submitted).Seconds(), "s")
	j.figure("job setup to started", at.Sub(setup).Seconds(), "s")
	return err
}

func (j *job) exec(time.Time) error {
	var took []time.Duration
	for range 3 {
		from := time.Now()
		var out bytes.Buffer
		code, err := j.agent.client.Allocations().Exec(j.ctx, j.alloc, "task", false, []string{"/usr/bin/echo", "here"}, strings.NewReader(""), &out, &out, nil, nil)
		if err != nil || code != 0 || out.String() != "here\n" {
			return fmt.Errorf("alloc exec: code %d, %q: %w", code, out.String(), err)
		}
		took = append(took, time.Since(from))
	}
	j.figure("alloc exec", median(took).Seconds(), "s")
	return nil
}

// flood has the task write its log as fast as Nomad takes it.
func (j *job) flood(time.Time) error {
	file := filepath.Join(j.agent.data, "alloc", j.alloc.ID, "task", "local", "flood")
	if err := j.agent.client.Allocations().Signal(j.alloc, nil, "task", "SIGUSR1"); err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		ns, err := strconv.ParseFloat(string(text), 64)
		j.figure("log throughput", 64/(ns/1e9), "MiB/s")
		return err
	}
	return fmt.Errorf("the task does not come to an end with its log")
}

// exit kills the task's process and waits for Nomad to notice, and to start it again.
func (j *job) exit(time.Time) error {
	all := workers()
	// exec2 calls a task started before its shim has executed the task's program.
	for deadline := time.Now().Add(patience); len(all) == 0 && time.Now().Before(deadline); all = workers() {
		time.Sleep(10 * time.Millisecond)
	}
	if len(all) != 1 {
		return fmt.Errorf("there are %d workers", len(all))
	}
	killed := time.Now()
	if err := syscall.Kill(all[0], syscall.SIGKILL); err != nil {
		return err
	}
	var at time.Time
	err := j.await("the restart", func(events []*api.TaskEvent) (ok bool) {
		at, _ = nth(events, api.TaskTerminated, 1)
		_, ok = nth(events, api.TaskStarted, 2)
		return ok
	})
	j.figure("job exit noticed", at.Sub(killed).Seconds(), "s")
	return err
}

func (j *job) stop(time.Time) error {
	if _, _, err := j.agent.client.Jobs().Deregister(j.id, false, nil); err != nil {
		return err
	}
	var killing, ended time.Time
	err := j.await("the end", func(events []*api.TaskEvent) (ok bool) {
		killing, _ = nth(events, api.TaskKilling, 1)
		ended, ok = nth(events, api.TaskTerminated, 2)
		return ok
	})
	j.figure("job stop", ended.Sub(killing).Seconds(), "s")
	return err
}

// beside records the processes that came with the task, and their memory.
func (j *job) beside(before map[int]string) {
	count, memory := make(map[string]float64), make(map[string]float64)
	for pid, kind := range helpers(j.agent.pid) {
		if _, old := before[pid]; !old {
			count[kind]++
			memory[kind] += own(pid)
		}
	}
	for _, kind := range []string{"executor", "logmon", "other"} {
		if j.round > 0 {
			j.add("job processes", j.driver, kind, j.round, count[kind], "")
			j.add("job own memory", j.driver, kind, j.round, memory[kind], "KiB")
		}
	}
}

// helpers are the agent's processes but the tasks, by kind.
func helpers(agent int) map[int]string {
	all := make(map[int]string)
	for _, pid := range descendants(agent) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue
		}
		args := strings.Split(string(text), "\x00")
		switch {
		case args[0] == worker || args[0] == "worker":
		case len(args) > 1 && (args[1] == "executor" || args[1] == "logmon"):
			all[pid] = args[1]
		default:
			all[pid] = "other"
		}
	}
	return all
}

// workers are the processes of tasks.
func workers() []int { return called("worker") }
