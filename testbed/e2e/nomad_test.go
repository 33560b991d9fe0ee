// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const api = "http://127.0.0.1:4646/v1"

// patience bounds each wait for something that must happen: the VM may be
// emulated, and Nomad takes seconds for what takes milliseconds elsewhere.
const patience = 3 * time.Minute

// task is the part of a job that the tests care about.
type task struct {
	Config      map[string]any
	Type        string // of the job; batch if empty
	User        string
	Env         map[string]string
	CPU, Cores  int
	Memory, Max int // MiB
	KillTimeout time.Duration
	KillSignal  string
	Restarts    int  // that Nomad may do
	Artifact    bool // fetch examples/hello into local/
	Templates   []template
	Volume      string // of the agent, at /data
	ReadOnly    bool   // is the mount of the volume
	Device      string // of a plugin of the agent
	Vault       string // the role for its token
	Identities  []map[string]any
	Port        string // label of one that Nomad gives it
}

type template struct {
	Path, Text, Perms string
	Signal            string   // of change_mode
	Script            []string // of change_mode
}

// allocation is what Nomad says of one run of a job.
type allocation struct {
	ID, ClientStatus string
	TaskStates       map[string]struct {
		State  string
		Failed bool
		Events []event
	}
}

type event struct {
	Type, DisplayMessage string
	Time                 int64 // nanoseconds since 1970
	Details              map[string]string
}

// job is a job under test. Its one task is called "task".
type job struct {
	t     *testing.T
	id    string
	alloc string
}

// submit runs a job of one task. At the test's end the job is gone and nothing
// of it is left in systemd, or the test fails.
func submit(t *testing.T, tk task) *job {
	t.Helper()
	return submitAs(t, jobName(t), tk)
}

// submitAs is submit for a test with several jobs.
func submitAs(t *testing.T, id string, tk task) *job {
	t.Helper()
	j := &job{t: t, id: id}
	call(t, http.MethodPost, "/jobs", map[string]any{"Job": tk.job(j.id)}, nil)
	t.Cleanup(func() {
		if t.Failed() {
			j.explain()
		}
		j.purge()
		j.nothingIsLeft()
	})
	return j
}

func jobName(t *testing.T) string {
	return strings.ToLower(strings.NewReplacer("/", "-", "_", "-", "#", "-").Replace(strings.TrimPrefix(t.Name(), "Test")))
}

// job is the task as Nomad's API takes it.
func (tk task) job(id string) map[string]any {
	kind := tk.Type
	if kind == "" {
		kind = "batch"
	}
	resources := map[string]any{"MemoryMB": max(tk.Memory, 32)}
	if tk.Cores > 0 {
		resources["Cores"] = tk.Cores
	} else {
		resources["CPU"] = max(tk.CPU, 50)
	}
	if tk.Max != 0 {
		resources["MemoryMaxMB"] = tk.Max
	}
	spec := map[string]any{
		"Name": "task", "Driver": "systemd", "Config": tk.Config, "User": tk.User, "Env": tk.Env,
		"Resources": resources, "KillSignal": tk.KillSignal,
		"KillTimeout":   int64(tk.KillTimeout),
		"RestartPolicy": map[string]any{"Attempts": tk.Restarts, "Mode": "fail", "Delay": int64(time.Second), "Interval": int64(time.Hour)},
		"LogConfig":     map[string]any{"MaxFiles": 2, "MaxFileSizeMB": 10},
	}
	if tk.Device != "" {
		resources["Devices"] = []map[string]any{{"Name": tk.Device, "Count": 1}}
	}
	if tk.Vault != "" {
		spec["Vault"] = map[string]any{"Role": tk.Vault}
	}
	if len(tk.Identities) > 0 {
		spec["Identities"] = tk.Identities
	}
	if tk.KillTimeout == 0 {
		spec["KillTimeout"] = int64(30 * time.Second) // the most that an agent gives by default
	}
	if tk.Artifact {
		spec["Artifacts"] = []map[string]any{{"GetterSource": "http://127.0.0.1:8000/hello.tar.gz", "RelativeDest": "local/"}}
	}
	var templates []map[string]any
	for _, tpl := range tk.Templates {
		t := map[string]any{"EmbeddedTmpl": tpl.Text, "DestPath": tpl.Path, "Perms": tpl.Perms}
		switch {
		case tpl.Signal != "":
			t["ChangeMode"], t["ChangeSignal"] = "signal", tpl.Signal
		case tpl.Script != nil:
			t["ChangeMode"] = "script"
			t["ChangeScript"] = map[string]any{
				"Command": tpl.Script[0], "Args": tpl.Script[1:], "Timeout": int64(patience), "FailOnError": true,
			}
		}
		templates = append(templates, t)
	}
	spec["Templates"] = templates
	group := map[string]any{
		"Name": "group", "Count": 1, "Tasks": []any{spec},
		"EphemeralDisk":    map[string]any{"SizeMB": 30},
		"RestartPolicy":    map[string]any{"Attempts": 0, "Mode": "fail"},
		"ReschedulePolicy": map[string]any{"Attempts": 0, "Unlimited": false},
	}
	if tk.Port != "" {
		group["Networks"] = []map[string]any{{"Mode": "host", "DynamicPorts": []map[string]any{{"Label": tk.Port}}}}
	}
	if tk.Volume != "" {
		group["Volumes"] = map[string]any{"volume": map[string]any{"Name": "volume", "Type": "host", "Source": tk.Volume}}
		spec["VolumeMounts"] = []map[string]any{{"Volume": "volume", "Destination": "/data", "ReadOnly": tk.ReadOnly}}
	}
	return map[string]any{
		"ID": id, "Name": id, "Type": kind, "Datacenters": []string{"*"},
		"TaskGroups": []map[string]any{group},
	}
}

// call speaks to the agent's HTTP API; anything but success fails the test.
func call(t *testing.T, method, path string, in, out any) {
	t.Helper()
	if err := request(method, path, in, out); err != nil {
		t.Fatal(err)
	}
}

func request(method, path string, in, out any) error {
	return requestFor(patience, method, path, in, out)
}

func requestFor(patience time.Duration, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, api+path, body)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = text
		return nil
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// watch asks for path again at each change (a blocking query) until good is
// content with the answer, for as long as patience.
func watch[T any](t *testing.T, path string, good func(T) bool) T {
	t.Helper()
	return watchFor(t, patience, path, good)
}

func watchFor[T any](t *testing.T, patience time.Duration, path string, good func(T) bool) T {
	t.Helper()
	deadline, index := time.Now().Add(patience), "0"
	var last T
	var problem error
	for time.Now().Before(deadline) {
		v, next, err := blocking[T](path, index)
		if problem = err; err != nil {
			time.Sleep(200 * time.Millisecond) // the agent is not listening: there is no event to wait for
			continue
		}
		if last, index = v, next; good(v) {
			return v
		}
	}
	t.Fatalf("waited %s for %s; the last answer was %+v, %v", patience, path, last, problem)
	return last
}

func blocking[T any](path, index string) (v T, next string, err error) {
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	resp, err := http.Get(api + path + sep + url.Values{"index": {index}, "wait": {"5s"}}.Encode())
	if err != nil {
		return v, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return v, "", fmt.Errorf("%s: %s", resp.Status, text)
	}
	next = resp.Header.Get("X-Nomad-Index")
	if n, err := strconv.ParseUint(next, 10, 64); err != nil || n == 0 {
		next = "0"
	}
	return v, next, json.NewDecoder(resp.Body).Decode(&v)
}

// await returns the job's allocation once it has the client status.
func (j *job) await(status string) allocation {
	j.t.Helper()
	if j.alloc == "" {
		all := watch(j.t, "/job/"+j.id+"/allocations", func(a []allocation) bool { return len(a) > 0 })
		j.alloc = all[0].ID
	}
	a := watch(j.t, "/allocation/"+j.alloc, func(a allocation) bool { return a.ClientStatus == status || a.ended() })
	if a.ClientStatus != status {
		j.t.Fatalf("the allocation is %s, want %s:\n%s", a.ClientStatus, status, j.messages(a))
	}
	return a
}

// ended tells that nothing more will come: no test restarts its task.
func (a allocation) ended() bool { return a.ClientStatus == "complete" || a.ClientStatus == "failed" }

// terminated is the event that tells how the task ended, the last time.
func (j *job) terminated(status string) event {
	j.t.Helper()
	a := j.await(status)
	for _, e := range slices.Backward(a.TaskStates["task"].Events) {
		if e.Type == "Terminated" {
			return e
		}
	}
	j.t.Fatalf("no event tells how the task ended: %+v", a.TaskStates["task"].Events)
	return event{}
}

// killTook is the time from Nomad's decision to end the task to its end. What
// Nomad's server takes to come to that decision is not the driver's.
func (j *job) killTook() time.Duration {
	j.t.Helper()
	at := map[string]int64{}
	for _, e := range j.await("complete").TaskStates["task"].Events {
		at[e.Type] = e.Time
	}
	if at["Killing"] == 0 || at["Terminated"] < at["Killing"] {
		j.t.Fatalf("no events tell how long the task took to end: %v", at)
	}
	return time.Duration(at["Terminated"] - at["Killing"])
}

// messages are all events of the task, one a line.
func (j *job) messages(a allocation) string {
	var b strings.Builder
	for _, e := range a.TaskStates["task"].Events {
		fmt.Fprintf(&b, "%s: %s\n", e.Type, e.DisplayMessage)
	}
	return b.String()
}

// logs is what Nomad has of the task's output ("stdout", "stderr"): all of it, if the
// task has ended.
func (j *job) logs(stream string) string {
	j.t.Helper()
	if a, _, err := blocking[allocation]("/allocation/"+j.alloc, "0"); err == nil && a.ended() {
		awaitTrue(j.t, "the task's log is not closed", func() bool { return nobodyWrites(j.t, j.logFile("task."+stream+".0")) })
	}
	var text string
	awaitTrue(j.t, "the log cannot be read", func() (ok bool) {
		var err error
		if text, err = readLog(j.alloc, "task", stream); err != nil {
			j.t.Log(err)
		}
		return err == nil
	})
	return text
}

// readLog asks the agent for what there is of a stream of a task's output. The answer
// may stay away for minutes on a busy machine, where another request has one at once.
func readLog(alloc, task, stream string) (string, error) {
	var text []byte
	err := requestFor(patience/3, http.MethodGet, "/client/fs/logs/"+alloc+"?plain=true&type="+stream+"&task="+task, nil, &text)
	return string(text), err
}

// nobodyWrites tells that nobody has the file open for writing, which is when a lease for
// readers can be had (fcntl(2)). A file that does not exist counts.
func nobodyWrites(t *testing.T, name string) bool {
	t.Helper()
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	must(t, err)
	defer f.Close() // with it the lease ends
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	return err == nil
}

// awaitLog returns the task's output once it holds text.
func (j *job) awaitLog(text string) string {
	j.t.Helper()
	return j.awaitLogFor(patience, text)
}

func (j *job) awaitLogFor(patience time.Duration, text string) string {
	j.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		got, err := j.followLog(patience/3, text)
		if err == nil {
			return got
		}
		if !time.Now().Before(deadline) {
			j.t.Fatalf("waiting for %q in the log: %v; so far:\n%s", text, err, got)
		}
		time.Sleep(100 * time.Millisecond) // the agent may not be listening: there is no event to wait for
	}
}

// followLog reads the task's output from its beginning until it holds text, for so long
// at most (see readLog), and returns what there was.
func (j *job) followLog(patience time.Duration, text string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// follow=true keeps the answer open and adds to it: no asking again.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api+"/client/fs/logs/"+j.alloc+"?task=task&plain=true&type=stdout&follow=true", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var got strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := resp.Body.Read(buf)
		got.Write(buf[:n])
		if strings.Contains(got.String(), text) {
			return got.String(), nil
		}
		if err != nil {
			return got.String(), err
		}
	}
}

// stop stops the job and waits until its task has ended.
func (j *job) stop() {
	j.t.Helper()
	call(j.t, http.MethodDelete, "/job/"+j.id, nil, nil)
	j.await("complete")
}

// purge removes the job and everything Nomad keeps of it.
func (j *job) purge() {
	j.t.Helper()
	call(j.t, http.MethodDelete, "/job/"+j.id+"?purge=true", nil, nil)
	if j.alloc == "" {
		return
	}
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		a, _, err := blocking[allocation]("/allocation/"+j.alloc, "0")
		if err != nil || (a.ClientStatus != "running" && a.ClientStatus != "pending") {
			return
		}
		time.Sleep(100 * time.Millisecond) // a purged job's allocation has no index to wait on
	}
	j.t.Errorf("the allocation of the purged job %s still runs", j.id)
}

// explain prints what helps to understand a failed test.
func (j *job) explain() {
	if j.alloc != "" {
		a, _, err := blocking[allocation]("/allocation/"+j.alloc, "0")
		j.t.Logf("allocation %s is %s (%v)\n%s", j.alloc, a.ClientStatus, err, j.messages(a))
		files, _ := filepath.Glob("/var/lib/nomad/alloc/" + j.alloc + "/alloc/logs/*.std*.[0-9]*")
		for _, file := range files {
			if text, err := os.ReadFile(file); err == nil && len(text) > 0 {
				j.t.Logf("%s ends with\n%s", filepath.Base(file), text[max(0, len(text)-1000):])
			}
		}
	}
	out, _ := exec.Command("journalctl", "--no-pager", "-o", "short-monotonic", "-n", "40", "-u", "systemd-brokerd", "-u", "nomad-*").CombinedOutput()
	j.t.Logf("journal:\n%s", out)
}
