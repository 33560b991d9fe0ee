// SPDX-License-Identifier: MPL-2.0

//go:build e2e

// Package harness drives the driver through Nomad's own DriverHarness, in-process
// gRPC and all, the way Nomad tests its drivers: the behaviours of the driver
// tests of raw_exec, exec and docker that make sense here. The broker and systemd
// are real. It runs as user nomad in a VM of the test bed, and is a module of its
// own because the harness needs most of Nomad.
package harness

import (
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/client/allocdir"
	"github.com/hashicorp/nomad/client/logmon"
	"github.com/hashicorp/nomad/client/taskenv"
	"github.com/hashicorp/nomad/helper/uuid"
	"github.com/hashicorp/nomad/nomad/mock"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/drivers/fsisolation"
	"github.com/hashicorp/nomad/plugins/drivers/testutils"

	"nomad-systemd-driver/driver"
)

// patience bounds each wait for something that must happen: the VM may be
// emulated.
const patience = 3 * time.Minute

// allocRoot is the alloc_root of the test bed's policy client.
const allocRoot = "/var/lib/nomad/alloc"

func TestMain(m *testing.M) {
	hclog.DefaultOutput = io.Discard // of go-plugin
	os.Exit(m.Run())
}

// taskConfig is the part of a task's config block that the tests need.
type taskConfig struct {
	Command string   `codec:"command"`
	Args    []string `codec:"args"`
}

// fixture is a driver behind the harness, and one task of it.
type fixture struct {
	*testutils.DriverHarness
	t    *testing.T
	task *drivers.TaskConfig
}

// newDriver is a driver as the agent would have it after its configuration.
func newDriver(t *testing.T) *testutils.DriverHarness {
	t.Helper()
	// t.Context() would end before the cleanups, which need the driver.
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	h := testutils.NewDriverHarness(t, driver.New(ctx, hclog.NewNullLogger()))
	if err := h.SetConfig(&base.Config{ApiVersion: drivers.ApiVersion010}); err != nil {
		t.Fatal(err)
	}
	return h
}

// prepare makes the task's directories and puts the script into its local/.
func prepare(t *testing.T, script string) *fixture {
	t.Helper()
	f := &fixture{newDriver(t), t, &drivers.TaskConfig{
		ID: uuid.Generate() + "/task/" + uuid.Short(), AllocID: uuid.Generate(), Name: "task", JobName: "harness",
		Env: map[string]string{"GREETING": "hello 'all'"},
		Resources: &drivers.Resources{
			NomadResources: &structs.AllocatedTaskResources{
				Cpu:    structs.AllocatedCpuResources{CpuShares: 100},
				Memory: structs.AllocatedMemoryResources{MemoryMB: 64},
			},
			LinuxResources: &drivers.LinuxResources{CPUShares: 100, MemoryLimitBytes: 64 << 20},
		},
	}}
	f.makeDirectories()
	if err := os.WriteFile(filepath.Join(f.task.TaskDir().LocalDir, "run"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := f.task.EncodeConcreteDriverConfig(&taskConfig{Command: "local/run"}); err != nil {
		t.Fatal(err)
	}
	return f
}

// makeDirectories does what the harness's MkAllocDir does, in the one place where
// policy lets this client have directories: as Nomad would, with its own code.
func (f *fixture) makeDirectories() {
	f.t.Helper()
	log := hclog.NewNullLogger()
	dir := allocdir.NewAllocDir(log, allocRoot, f.t.TempDir(), f.task.AllocID)
	f.t.Cleanup(func() { _ = dir.Destroy() })
	if err := dir.Build(); err != nil {
		f.t.Fatal(err)
	}
	f.task.AllocDir = dir.AllocDir
	spec := &structs.Task{Name: f.task.Name, Env: f.task.Env}
	task := dir.NewTaskDir(spec)
	if err := task.Build(fsisolation.Image, nil, ""); err != nil {
		f.t.Fatal(err)
	}
	env := taskenv.NewBuilder(mock.Node(), mock.Alloc(), spec, "global")
	testutils.SetEnvvars(env, fsisolation.Image, task)
	maps.Copy(f.task.Env, env.Build().Map())
	f.task.StdoutPath = filepath.Join(task.LogDir, ".task.stdout.fifo")
	f.task.StderrPath = filepath.Join(task.LogDir, ".task.stderr.fifo")
	collector := logmon.NewLogMon(log)
	if err := collector.Start(&logmon.LogConfig{
		LogDir: task.LogDir, StdoutLogFile: "task.stdout", StderrLogFile: "task.stderr",
		StdoutFifo: f.task.StdoutPath, StderrFifo: f.task.StderrPath, MaxFiles: 2, MaxFileSizeMB: 1,
	}); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = collector.Stop() })
}

// start prepares and starts the task. At the test's end it is destroyed.
func start(t *testing.T, script string) *fixture {
	t.Helper()
	f := prepare(t, script)
	f.start()
	return f
}

func (f *fixture) start() *drivers.TaskHandle {
	f.t.Helper()
	handle, _, err := f.StartTask(f.task)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := f.Impl().DestroyTask(f.task.ID, true); err != nil && !notFound(err) {
			f.t.Error(err)
		}
	})
	return handle
}

// result waits for the task's end.
func (f *fixture) result() *drivers.ExitResult {
	f.t.Helper()
	ch, err := f.WaitTask(f.t.Context(), f.task.ID)
	if err != nil {
		f.t.Fatal(err)
	}
	select {
	case r := <-ch:
		return r
	case <-time.After(patience):
		f.t.Fatalf("the task has not ended after %s", patience)
		return nil
	}
}

// awaitFile returns what is in a file of the task's once it ends in a newline.
func (f *fixture) awaitFile(path string) string {
	f.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if text, err := os.ReadFile(path); err == nil && strings.HasSuffix(string(text), "\n") {
			return string(text)
		}
	}
	f.t.Fatalf("nothing is in %s after %s", path, patience)
	return ""
}

func (f *fixture) log() string {
	return filepath.Join(f.task.TaskDir().LogDir, "task.stdout.0")
}

func TestDriverIsHealthy(t *testing.T) {
	h := newDriver(t)
	for range 3 { // the agent configures a driver several times over
		if err := h.SetConfig(&base.Config{ApiVersion: drivers.ApiVersion010}); err != nil {
			t.Fatal(err)
		}
	}
	ch, err := h.Fingerprint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.After(patience); ; {
		select {
		case f := <-ch:
			if f.Health == drivers.HealthStateHealthy && f.Attributes["driver.systemd.healthy"] != nil {
				return
			}
			t.Logf("the fingerprint is %+v", f)
		case <-deadline:
			t.Fatal("no fingerprint is healthy")
		}
	}
}

func TestStartAndWait(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		code, signal int
	}{
		{"well", "exit 0", 0, 0},
		{"with an exit code", "exit 3", 3, 0},
		{"by a signal", "kill -9 $$", 0, 9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if r := start(t, tt.script).result(); r.ExitCode != tt.code || r.Signal != tt.signal || r.Err != nil || r.OOMKilled {
				t.Errorf("it ended with %+v", r)
			}
		})
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	f := start(t, "exec sleep 600")
	ctx, cancel := context.WithCancel(t.Context())
	ch, err := f.WaitTask(ctx, f.task.ID)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-ch:
	case <-time.After(patience):
		t.Error("the wait goes on")
	}
}

func TestTaskSeesItsDirectoriesAndEnvironment(t *testing.T) {
	f := start(t, `echo "$GREETING" >$NOMAD_ALLOC_DIR/data/out; pwd >>$NOMAD_ALLOC_DIR/data/out; echo of the task >$NOMAD_TASK_DIR/mine`)
	if r := f.result(); !r.Successful() {
		t.Fatalf("it ended with %+v", r)
	}
	if got := f.awaitFile(filepath.Join(f.task.TaskDir().SharedAllocDir, "data", "out")); got != "hello 'all'\n/local\n" {
		t.Errorf("it wrote %q", got)
	}
	if got := f.awaitFile(filepath.Join(f.task.TaskDir().LocalDir, "mine")); got != "of the task\n" {
		t.Errorf("it wrote %q", got)
	}
}

// TestSameTaskIsStartedOnce: Nomad may ask again when it has not heard the answer.
func TestSameTaskIsStartedOnce(t *testing.T) {
	f := start(t, "exec sleep 600")
	group := f.cgroup()
	if _, _, err := f.StartTask(f.task); err != nil {
		t.Fatal(err)
	}
	if now := f.cgroup(); now != group {
		t.Errorf("it runs in %s and was started in %s", now, group)
	}
}

func TestManyTasksAtOnce(t *testing.T) {
	for range 5 {
		t.Run("one of 5", func(t *testing.T) {
			t.Parallel()
			if r := start(t, "sleep 1; exit 4").result(); r.ExitCode != 4 {
				t.Errorf("it ended with %+v", r)
			}
		})
	}
}

func TestStop(t *testing.T) {
	for _, tt := range []struct {
		name, script, signal string
		timeout              time.Duration
		code, by             int
	}{
		{"by the signal that is asked for", "trap 'exit 5' INT; echo ready; while :; do sleep 0.1; done", "SIGINT", patience, 5, 0},
		{"by SIGTERM otherwise", "trap 'exit 6' TERM; echo ready; while :; do sleep 0.1; done", "", patience, 6, 0},
		{"by SIGKILL in the end", "trap '' TERM; echo ready; while :; do sleep 0.1; done", "SIGTERM", 2 * time.Second, 0, 9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, tt.script)
			f.awaitFile(f.log())
			if err := f.StopTask(f.task.ID, tt.timeout, tt.signal); err != nil {
				t.Fatal(err)
			}
			if r := f.result(); r.ExitCode != tt.code || r.Signal != tt.by {
				t.Errorf("it ended with %+v", r)
			}
		})
	}
	if err := newDriver(t).StopTask("nobody/knows/this", time.Second, ""); err != nil {
		t.Errorf("stopping what is not there: %v", err)
	}
}

func TestSignal(t *testing.T) {
	f := start(t, "trap 'exit 7' USR1; echo ready; while :; do sleep 0.1; done")
	f.awaitFile(f.log())
	if err := f.SignalTask(f.task.ID, "SIGNONE"); err == nil {
		t.Error("a signal that does not exist was sent")
	}
	if err := f.SignalTask(f.task.ID, "SIGUSR1"); err != nil {
		t.Fatal(err)
	}
	if r := f.result(); r.ExitCode != 7 {
		t.Errorf("it ended with %+v", r)
	}
}

func TestDestroyKillsAll(t *testing.T) {
	f := start(t, "setsid sleep 600 & sleep 600 & echo ready; wait")
	f.awaitFile(f.log())
	if err := f.DestroyTask(f.task.ID, false); err == nil {
		t.Error("a running task was destroyed without force")
	}
	procs := filepath.Join(f.cgroup(), "cgroup.procs")
	if text, err := os.ReadFile(procs); err != nil || strings.Count(string(text), "\n") < 3 {
		t.Fatalf("its processes are %q, %v", text, err)
	}
	if err := f.DestroyTask(f.task.ID, true); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(procs); err == nil && len(text) > 0 {
		t.Errorf("of its processes there are still %q", text)
	}
	if _, err := f.InspectTask(f.task.ID); !notFound(err) {
		t.Errorf("inspecting it says %v", err)
	}
}

// cgroup is the directory of the task's control group.
func (f *fixture) cgroup() string {
	f.t.Helper()
	st, err := f.InspectTask(f.task.ID)
	if err != nil {
		f.t.Fatal(err)
	}
	unit := st.DriverAttributes["unit"]
	if unit == "" {
		f.t.Fatalf("no attribute names its unit: %v", st.DriverAttributes)
	}
	return "/sys/fs/cgroup/brokerd.slice/brokerd-nomad.slice/" + unit
}

func TestRecover(t *testing.T) {
	f := prepare(t, "trap 'exit 8' TERM; echo ready; while :; do sleep 0.1; done")
	handle := f.start()
	f.awaitFile(f.log())
	next := &fixture{newDriver(t), t, f.task}
	if err := next.RecoverTask(handle); err != nil {
		t.Fatal(err)
	}
	if err := next.WaitUntilStarted(f.task.ID, patience); err != nil {
		t.Fatal(err)
	}
	if err := next.StopTask(f.task.ID, patience, ""); err != nil {
		t.Fatal(err)
	}
	if r := next.result(); r.ExitCode != 8 {
		t.Errorf("it ended with %+v", r)
	}
	if err := next.Impl().RecoverTask(nil); err == nil {
		t.Error("nothing was recovered")
	}
}

func TestExec(t *testing.T) {
	f := start(t, "echo ready; exec sleep 600")
	f.awaitFile(f.log())
	r, err := f.ExecTask(f.task.ID, []string{"/bin/sh", "-c", "echo out; echo err >&2; exit 9"}, patience)
	if err != nil {
		t.Fatal(err)
	}
	if r.ExitResult.ExitCode != 9 || string(r.Stdout) != "out\n" || string(r.Stderr) != "err\n" {
		t.Errorf("it ended with %+v and said %q, %q", r.ExitResult, r.Stdout, r.Stderr)
	}
	for i, c := range testutils.ExecTaskStreamingBasicCases {
		// What is in the background has longer to live than the session may take to end.
		testutils.ExecTaskStreamingBasicCases[i].Command = strings.Replace(c.Command, "sleep 3;", "sleep 600;", 1)
	}
	testutils.TestExecTaskStreamingBasicResponses(t, f.DriverHarness, f.task.ID)
}

func TestStats(t *testing.T) {
	f := start(t, "while :; do :; done")
	ch, err := f.TaskStats(t.Context(), f.task.ID, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.After(patience); ; {
		select {
		case u := <-ch:
			if u.ResourceUsage.MemoryStats.Usage > 0 && u.ResourceUsage.CpuStats.Percent > 1 {
				return
			}
		case <-deadline:
			t.Fatal("no sample tells of its memory and its time on the CPU")
		}
	}
}

func TestOOMKill(t *testing.T) {
	f := start(t, "head -c 500000000 /dev/zero | tail -c 400000000 | wc -c; echo on")
	if r := f.result(); !r.OOMKilled {
		t.Errorf("it ended with %+v", r)
	}
}

func TestWhatCannotBeStarted(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*drivers.TaskConfig)
		want  string
	}{
		{"an unknown user", func(c *drivers.TaskConfig) { c.User = "nosuchuser" }, "nosuchuser"},
		{"root", func(c *drivers.TaskConfig) { c.User = "root" }, "root"},
		{"no such program", func(c *drivers.TaskConfig) {
			_ = c.EncodeConcreteDriverConfig(&taskConfig{Command: "local/nosuchprogram"})
		}, "nosuchprogram"},
		{"no command", func(c *drivers.TaskConfig) { _ = c.EncodeConcreteDriverConfig(&taskConfig{}) }, "command"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := prepare(t, "exit 0")
			tt.spoil(f.task)
			if _, _, err := f.StartTask(f.task); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("starting it says %v", err)
			}
		})
	}
}

func TestTaskThatIsNotThere(t *testing.T) {
	h := newDriver(t)
	if _, err := h.InspectTask("no/such/task"); !notFound(err) {
		t.Errorf("InspectTask: %v", err)
	}
	if err := h.SignalTask("no/such/task", "SIGHUP"); err == nil {
		t.Error("SignalTask succeeds")
	}
	if err := h.DestroyTask("no/such/task", true); err != nil && !notFound(err) {
		t.Errorf("DestroyTask: %v", err)
	}
}

// notFound recognizes ErrTaskNotFound, of which the harness leaves the text.
func notFound(err error) bool {
	return err != nil && strings.Contains(err.Error(), drivers.ErrTaskNotFound.Error())
}
