// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"nomad-systemd-driver/examples"
)

// exampleTests says for each example how one sees that it does what it is for. The job
// is submitted as it is in the file.
var exampleTests = map[string]func(*example){
	"batch": func(e *example) {
		e.await("complete")
		e.logHas("hello", "hello from task hello of job batch\n")
	},
	"service": func(e *example) {
		healthy := func(a exampleAlloc) bool { return a.DeploymentStatus != nil && a.DeploymentStatus.Healthy != nil }
		if a := watch(e.t, "/allocation/"+e.await("running").ID, healthy); !*a.DeploymentStatus.Healthy {
			e.t.Error("it does not pass its health check")
		}
	},
	"journald": func(e *example) {
		e.await("running")
		awaitTrue(e.t, "its lines are not in the journal", func() bool {
			return strings.Contains(journal(e.t, "-o", "cat", "NOMAD_ALLOC_ID="+e.alloc, "_TRANSPORT=stdout"), "tick 1\ntick 2\n")
		})
	},
	"python": func(e *example) {
		e.await("complete")
		e.logHas("app", "python 3 in /local\n", "job python\n", "cannot write to /usr: Read-only file system\n")
	},
	"template": func(e *example) {
		e.await("running")
		before := e.logHas("app", "has color blue\n")
		putVariable(e.t, "green")
		pid, _, _ := strings.Cut(before, " has")
		e.logHas("app", pid+" has color green\n")
	},
	"strict": func(e *example) {
		e.await("complete")
		e.logHas("hello", "hello from task hello of job strict\n")
	},
	"limits": func(e *example) {
		e.await("running")
		e.logHas("worker", "working\n")
		got := show(e.t, e.unit("worker"), "CPUQuotaPerSecUSec", "MemoryMax", "MemoryLow", "MemorySwapMax", "TasksMax", "IOWeight",
			"IOReadBandwidthMax", "IOWriteBandwidthMax", "LimitNOFILE", "LimitNOFILESoft")
		want := map[string]string{
			"CPUQuotaPerSecUSec": "100ms", "MemoryMax": "67108864", "MemoryLow": "33554432", "MemorySwapMax": "0", "TasksMax": "16",
			"IOWeight": "50", "IOReadBandwidthMax": "/dev/vda 20000000", "IOWriteBandwidthMax": "/dev/vda 10000000",
			"LimitNOFILE": "512", "LimitNOFILESoft": "256",
		}
		for name, value := range want {
			if got[name] != value {
				e.t.Errorf("%s is %q, want %q", name, got[name], value)
			}
		}
	},
	"credentials": func(e *example) {
		call(e.t, http.MethodPut, "/var/nomad/jobs/credentials", map[string]any{
			"Path": "nomad/jobs/credentials", "Items": map[string]string{"key": "swordfish"},
		}, nil)
		e.await("complete")
		e.logHas("app", "banner\nkey\n", "the key has 9 bytes, the banner is not secret\n", "cannot change the key\n")
	},
	"volume": func(e *example) {
		e.await("complete")
		e.logHas("app", "run 1 of user www-data\n")
	},
	"image": func(e *example) {
		e.await("complete")
		e.logHas("app", "busybox\nsh\n", "ready\n")
		e.streamHas("stderr", "app", "/x: Read-only file system", "/usr: No such file")
	},
	"periodic": func(e *example) {
		call(e.t, http.MethodPost, "/job/periodic/periodic/force", nil, nil)
		e.child("periodic/periodic-").await("complete")
		e.logHas("report", "report of periodic\n")
	},
	"parameterized": func(e *example) {
		call(e.t, http.MethodPost, "/job/parameterized/dispatch", map[string]any{
			"Payload": base64.StdEncoding.EncodeToString([]byte("some words\n")), "Meta": map[string]string{"case": "upper"},
		}, nil)
		e.child("parameterized/dispatch-").await("complete")
		e.logHas("convert", "SOME WORDS\n")
	},
	"system": func(e *example) {
		e.await("running")
		e.logHas("watch", "load ")
	},
	"sidecar": func(e *example) {
		e.await("complete")
		e.logHas("reader", "written by uid ")
	},
	"exec": func(e *example) {
		e.await("running")
		e.logHas("app", "ready\n")
		if out := run(e.t, "nomad", "alloc", "exec", e.alloc, "cat", "/tmp/state"); out != "only this task sees it" {
			e.t.Errorf("a command in the task prints %q", out)
		}
	},
	"refused": func(e *example) { e.isRefused("hello") },
	"report":  func(e *example) { e.isRefused("perl") },
}

func TestExamples(t *testing.T) {
	putVariable(t, "blue")
	makeImage(t)
	files, err := examples.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name, isJob := strings.CutSuffix(f.Name(), ".nomad.hcl")
		if !isJob {
			continue
		}
		check := exampleTests[name]
		if check == nil {
			t.Errorf("nothing tests the example %s", f.Name())
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(submitExample(t, name))
		})
	}
}

// example is a job of a file; its name is that of the file.
type example struct {
	t             *testing.T
	id, alloc     string
	submittedJobs []string
}

func (e *example) isRefused(task string) {
	e.t.Helper()
	a := e.await("failed")
	if text := a.events(task); !strings.Contains(text, "is refused by the policy of systemd-brokerd") {
		e.t.Errorf("the events are:\n%s", text)
	}
}

type exampleAlloc struct {
	allocation
	DeploymentStatus *struct{ Healthy *bool }
}

func (a exampleAlloc) events(task string) string {
	var b strings.Builder
	for _, e := range a.TaskStates[task].Events {
		b.WriteString(e.Type + ": " + e.DisplayMessage + "\n")
	}
	return b.String()
}

func submitExample(t *testing.T, name string) *example {
	t.Helper()
	text, err := examples.Files.ReadFile(name + ".nomad.hcl")
	if err != nil {
		t.Fatal(err)
	}
	var parsed map[string]any
	call(t, http.MethodPost, "/jobs/parse", map[string]any{"JobHCL": string(text), "Canonicalize": true}, &parsed)
	call(t, http.MethodPost, "/jobs", map[string]any{"Job": parsed}, nil)
	e := &example{t: t, id: name, submittedJobs: []string{name}}
	t.Cleanup(func() {
		j := &job{t: t, id: e.id, alloc: e.alloc}
		if t.Failed() {
			j.explain()
		}
		for _, id := range e.submittedJobs {
			call(t, http.MethodDelete, "/job/"+url.PathEscape(id)+"?purge=true", nil, nil)
		}
		j.purge()
		j.nothingIsLeft()
	})
	return e
}

// child becomes the job that the submitted one has started, once there is one.
func (e *example) child(prefix string) *example {
	e.t.Helper()
	type summary struct{ ID string }
	all := watch(e.t, "/jobs?prefix="+url.QueryEscape(prefix), func(j []summary) bool { return len(j) > 0 })
	e.id = all[0].ID
	e.submittedJobs = append(e.submittedJobs, e.id)
	return e
}

// await returns the allocation once it has the client status.
func (e *example) await(status string) exampleAlloc {
	e.t.Helper()
	if e.alloc == "" {
		all := watch(e.t, "/job/"+url.PathEscape(e.id)+"/allocations", func(a []allocation) bool { return len(a) > 0 })
		e.alloc = all[0].ID
	}
	a := watch(e.t, "/allocation/"+e.alloc, func(a exampleAlloc) bool { return a.ClientStatus == status || a.ended() })
	if a.ClientStatus != status {
		for task := range a.TaskStates {
			e.t.Logf("task %s:\n%s", task, a.events(task))
		}
		e.t.Fatalf("the allocation is %s, want %s", a.ClientStatus, status)
	}
	return a
}

// logHas returns the standard output of a task once it holds all of the texts.
func (e *example) logHas(task string, texts ...string) string {
	e.t.Helper()
	return e.streamHas("stdout", task, texts...)
}

func (e *example) streamHas(kind, task string, texts ...string) string {
	e.t.Helper()
	var got string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(300 * time.Millisecond) {
		got = e.stream(kind, task)
		missing := false
		for _, text := range texts {
			missing = missing || !strings.Contains(got, text)
		}
		if !missing {
			return got
		}
	}
	e.t.Fatalf("waited %s for %q in %s of %s; it holds:\n%s", patience, texts, kind, task, got)
	return ""
}

// stream is what there is of the output of a task.
func (e *example) stream(kind, task string) string {
	text, _ := readLog(e.alloc, task, kind) // none yet
	return text
}

// makeImage runs the commands at the head of the example that needs an image.
func makeImage(t *testing.T) {
	t.Helper()
	text, err := examples.Files.ReadFile("image.nomad.hcl")
	if err != nil {
		t.Fatal(err)
	}
	commands := "set -e\n"
	for line := range strings.Lines(string(text)) {
		if command, ok := strings.CutPrefix(line, "#   "); ok && !strings.HasPrefix(command, "nomad ") {
			commands += command
		}
	}
	run(t, "bash", "-c", commands)
}

func (e *example) unit(task string) string {
	e.t.Helper()
	for _, name := range units(e.t) {
		if strings.HasPrefix(name, "nomad-"+task+"-"+e.alloc[:8]) {
			return name
		}
	}
	e.t.Fatalf("task %s has no unit", task)
	return ""
}

// putVariable gives the variable that the example template reads a color.
func putVariable(t *testing.T, color string) {
	t.Helper()
	out, err := exec.Command("nomad", "var", "put", "-force", "nomad/jobs/template", "color="+color).CombinedOutput()
	if err != nil {
		t.Fatalf("cannot write a variable: %v: %s", err, out)
	}
}
