// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// handleState is what Nomad keeps of a task for RecoverTask.
type handleState struct {
	Unit         string
	InvocationID string
	StartedAt    time.Time
	// Task is the config block. Nomad keeps all of a task's configuration but this, so
	// that an agent which starts anew recovers the task without it.
	Task TaskConfig
}

// task is one started task and what is known of its unit.
type task struct {
	config *drivers.TaskConfig
	handle *brokerv1.Handle
	// ended is done, and end called, when result is set.
	ended context.Context
	end   context.CancelFunc

	removal sync.Mutex // held while the unit is removed

	mu        sync.Mutex
	started   time.Time
	completed time.Time
	result    *drivers.ExitResult
	pid       uint32
	// controlGroup is the last that is known: the unit's ends with its processes.
	controlGroup string
	destroyed    bool
}

func newTask(c *drivers.TaskConfig, h *brokerv1.Handle, started time.Time) *task {
	ended, end := context.WithCancel(context.Background())
	return &task{config: c, handle: h, started: started, ended: ended, end: end}
}

// observe takes over what the broker says of the unit, and reports whether the
// task has just ended.
func (t *task) observe(u *brokerv1.Unit) (ended bool) {
	if u.GetHandle().GetInvocationId() != t.handle.GetInvocationId() {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pid = u.GetMainPid()
	if group := u.GetControlGroup(); group != "" {
		t.controlGroup = group
	}
	switch u.GetState() {
	case brokerv1.UnitState_UNIT_STATE_EXITED:
		return t.endLocked(exitResult(u.GetExit()), u.GetExit().GetExitedAt().AsTime())
	case brokerv1.UnitState_UNIT_STATE_LOST:
		return t.endLocked(lostResult(t.handle.GetUnit()), time.Now())
	}
	return false
}

// lose ends a task whose unit is gone.
func (t *task) lose() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endLocked(lostResult(t.handle.GetUnit()), time.Now())
}

func (t *task) endLocked(r *drivers.ExitResult, at time.Time) bool {
	if t.result != nil {
		return false
	}
	t.result, t.completed, t.pid = r, at, 0
	t.end()
	return true
}

func exitResult(e *brokerv1.Exit) *drivers.ExitResult {
	return &drivers.ExitResult{ExitCode: int(e.GetCode()), Signal: int(e.GetSignal()), OOMKilled: e.GetOomKilled()}
}

func lostResult(unit string) *drivers.ExitResult {
	return &drivers.ExitResult{
		ExitCode: -1,
		Err:      fmt.Errorf("unit %s is gone and its exit status with it: the machine was rebooted, or somebody else removed the unit", unit),
	}
}

// exit is the task's result, nil while it runs.
func (t *task) exit() *drivers.ExitResult {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.result == nil {
		return nil
	}
	return t.result.Copy()
}

// group is the path of the task's control group, empty while it is not known.
func (t *task) group() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.controlGroup
}

func (t *task) destroy() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.destroyed = true
}

func (t *task) isDestroyed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.destroyed
}

func (t *task) status() *drivers.TaskStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &drivers.TaskStatus{
		ID: t.config.ID, Name: t.config.Name, State: drivers.TaskStateRunning,
		StartedAt: t.started, CompletedAt: t.completed,
		DriverAttributes: map[string]string{"unit": t.handle.GetUnit(), "invocation_id": t.handle.GetInvocationId()},
	}
	if t.result != nil {
		s.State, s.ExitResult = drivers.TaskStateExited, t.result.Copy()
	} else if t.pid != 0 {
		s.DriverAttributes["pid"] = fmt.Sprint(t.pid)
	}
	return s
}
