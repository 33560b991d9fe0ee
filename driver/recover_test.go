// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
)

// TestTaskOfAnAgentThatStartsAnewKeepsItsConfig: Nomad reads it from its disk without
// the config block, and the task takes signals and sessions as before.
func TestTaskOfAnAgentThatStartsAnewKeepsItsConfig(t *testing.T) {
	b := newFakeBroker(t)
	b.start()
	c := newTaskConfig(t, TaskConfig{Command: "/usr/bin/true", SignalTarget: "all", Sandbox: Sandbox{Profile: "strict"}, Group: "media"})
	h, _, err := newDriver(t, b.config()).StartTask(c)
	if err != nil {
		t.Fatal(err)
	}
	kept := h.Copy()
	kept.Config = &drivers.TaskConfig{
		ID: c.ID, JobName: c.JobName, JobID: c.JobID, TaskGroupName: c.TaskGroupName, Name: c.Name, Namespace: c.Namespace,
		Env: c.Env, Resources: c.Resources, AllocDir: c.AllocDir, AllocID: c.AllocID, StdoutPath: c.StdoutPath, StderrPath: c.StderrPath,
	}
	d := newDriver(t, b.config())
	if err := d.RecoverTask(kept); err != nil {
		t.Fatal(err)
	}
	if err := d.SignalTask(c.ID, "SIGHUP"); err != nil {
		t.Error(err)
	}
	recovered, _ := d.task(c.ID)
	spec, err := sessionSpec(recovered.config, &drivers.ExecOptions{Command: []string{"sh"}})
	if err != nil || spec.GetProfile() != "strict" || spec.GetGroup() != "media" {
		t.Errorf("a session asks for %v, %v", spec, err)
	}
}

// TestSignalWaitsForTheBroker: the socket is PID 1's and outlives a broker that dies
// with connections which it has not taken yet.
func TestSignalWaitsForTheBroker(t *testing.T) {
	b, d, h := started(t)
	b.stop()
	awaitHealth(t, d, drivers.HealthStateUnhealthy)
	told := make(chan error, 1)
	go func() { told <- d.SignalTask(h.Config.ID, "SIGHUP") }()
	select {
	case err := <-told:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	b.start()
	if err := <-told; err != nil {
		t.Error(err)
	}
	if n := b.count("SignalUnit"); n != 1 {
		t.Errorf("%d signals were sent", n)
	}
}
