// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/drivers"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

const (
	// startTimeout is above the broker's own, so that its explanation arrives.
	startTimeout = 100 * time.Second
	// stopSlack is what a stop may take beyond the task's grace period.
	stopSlack = 60 * time.Second
)

func (d *Driver) task(id string) (*task, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, ok := d.tasks[id]
	return t, ok
}

// add registers t, unless there is a task with its id; then it returns that one.
func (d *Driver) add(t *task) *task {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old, ok := d.tasks[t.config.ID]; ok {
		return old
	}
	d.tasks[t.config.ID] = t
	return t
}

func (d *Driver) forget(t *task) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tasks[t.config.ID] == t {
		delete(d.tasks, t.config.ID)
	}
}

// errRemoving: nobody asked for the unit as long as orphans.grace.
var errRemoving = errors.New("the task's unit belonged to no task for too long and is being removed; try again")

// StartTask implements drivers.DriverPlugin. It is idempotent on the task's id:
// Nomad may ask twice when the plugin died over the first time.
func (d *Driver) StartTask(c *drivers.TaskConfig) (*drivers.TaskHandle, *drivers.DriverNetwork, error) {
	if t, ok := d.task(c.ID); ok {
		h, err := t.taskHandle()
		return h, nil, err
	}
	done, ok := d.claimStart(c.ID)
	if !ok {
		return nil, nil, structs.NewRecoverableError(errRemoving, true)
	}
	defer done()
	spec, err := unitSpec(c)
	if err != nil {
		return nil, nil, err
	}
	identity := d.identity()
	if spec.IdentityToken, err = identityToken(c, identity); err != nil {
		d.log.Warn("cannot read the token of the task's identity", "identity", identity, "error", err)
	}
	b, err := d.connection()
	if err != nil {
		return nil, nil, structs.NewRecoverableError(err, true)
	}
	ctx, cancel := context.WithTimeout(d.ctx, startTimeout)
	defer cancel()
	b.await(ctx)
	if spec.GetLogging().GetDriver() == brokerv1.Logging_DRIVER_FDS {
		if spec.Logging.FdToken, err = b.handOverLogs(ctx, c.StdoutPath, c.StderrPath); err != nil {
			return nil, nil, structs.NewRecoverableError(err, true)
		}
	}
	resp, err := b.StartUnit(ctx, &brokerv1.StartUnitRequest{Spec: spec})
	if err != nil {
		return nil, nil, startError(err, c, identity)
	}
	u := resp.GetUnit()
	t := d.add(newTask(c, u.GetHandle(), u.GetStartedAt().AsTime()))
	// The stream may have told of the unit's end before the task was known.
	d.look(ctx, b, t)
	h, err := t.taskHandle()
	return h, nil, err
}

func (t *task) taskHandle() (*drivers.TaskHandle, error) {
	h := drivers.NewTaskHandle(handleVersion)
	h.Config, h.State = t.config, drivers.TaskStateRunning
	state := handleState{Unit: t.handle.GetUnit(), InvocationID: t.handle.GetInvocationId(), StartedAt: t.started}
	err := t.config.DecodeDriverConfig(&state.Task)
	if err == nil {
		err = h.SetDriverState(&state)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot store the task's handle: %w", err)
	}
	return h, nil
}

// look asks the broker for the unit of t once. That the broker is away is no
// news: the next stream shows all units.
func (d *Driver) look(ctx context.Context, b *broker, t *task) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := b.GetUnit(ctx, &brokerv1.GetUnitRequest{Handle: t.handle}, grpc.WaitForReady(true))
	switch {
	case status.Code(err) == codes.NotFound:
		t.lose()
	case err != nil:
		d.log.Debug("cannot look at a unit now", "unit", t.handle.GetUnit(), "error", err)
	case t.observe(resp.GetUnit()):
		d.tell(t, resp.GetUnit())
	}
}

// RecoverTask implements drivers.DriverPlugin. It never fails for want of the
// broker: Nomad would kill and start the task again. What became of the unit
// is for WaitTask to tell.
func (d *Driver) RecoverTask(h *drivers.TaskHandle) error {
	if h == nil || h.Config == nil {
		return fmt.Errorf("cannot recover a task without its handle")
	}
	if _, ok := d.task(h.Config.ID); ok {
		return nil
	}
	if h.Version != handleVersion {
		return fmt.Errorf("cannot recover task %s: its handle has version %d, this driver knows version %d", h.Config.ID, h.Version, handleVersion)
	}
	var state handleState
	if err := h.GetDriverState(&state); err != nil {
		return fmt.Errorf("cannot recover task %s: %w", h.Config.ID, err)
	}
	if state.Task.Command != "" { // else an older version made the handle
		if err := h.Config.EncodeConcreteDriverConfig(&state.Task); err != nil {
			return fmt.Errorf("cannot recover task %s: %w", h.Config.ID, err)
		}
	}
	done, ok := d.claimStart(h.Config.ID)
	if !ok {
		return fmt.Errorf("cannot recover task %s: %w", h.Config.ID, errRemoving)
	}
	defer done()
	t := d.add(newTask(h.Config, &brokerv1.Handle{Unit: state.Unit, InvocationId: state.InvocationID}, state.StartedAt))
	b, err := d.connection()
	if err != nil {
		return err
	}
	go d.look(d.ctx, b, t)
	return nil
}

// WaitTask implements drivers.DriverPlugin. An error would mean the task's end
// to Nomad, so it waits for the broker however long that is away.
func (d *Driver) WaitTask(ctx context.Context, id string) (<-chan *drivers.ExitResult, error) {
	t, ok := d.task(id)
	if !ok {
		return nil, drivers.ErrTaskNotFound
	}
	ch := make(chan *drivers.ExitResult, 1)
	go func() {
		defer close(ch)
		select {
		case <-t.ended.Done():
			ch <- t.exit()
		case <-ctx.Done():
		case <-d.ctx.Done():
		}
	}()
	return ch, nil
}

// StopTask implements drivers.DriverPlugin. The broker sees the stop through on
// its own; asking again joins the stop that is under way.
func (d *Driver) StopTask(id string, timeout time.Duration, signal string) error {
	t, ok := d.task(id)
	if !ok {
		return nil
	}
	sig, err := signalNumber(signal)
	if err != nil {
		return err
	}
	b, err := d.connection()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(d.ctx, timeout+stopSlack)
	defer cancel()
	for {
		resp, err := b.StopUnit(ctx, &brokerv1.StopUnitRequest{Handle: t.handle, Signal: sig, GracePeriod: durationpb.New(timeout)}, grpc.WaitForReady(true))
		switch {
		case err == nil:
			if resp.GetUnit() != nil && t.observe(resp.GetUnit()) {
				d.tell(t, resp.GetUnit())
			}
			return nil
		case ctx.Err() != nil || !away(err):
			return fmt.Errorf("cannot stop %s: %s", t.handle.GetUnit(), status.Convert(err).Message())
		}
		select {
		case <-time.After(firstRetry):
		case <-ctx.Done():
		}
	}
}

// DestroyTask implements drivers.DriverPlugin. Nomad ignores its error, so a
// unit that cannot be removed now is removed later, see collector.
func (d *Driver) DestroyTask(id string, force bool) error {
	t, ok := d.task(id)
	if !ok {
		return nil
	}
	if t.exit() == nil && !force {
		return fmt.Errorf("cannot destroy task %s while it runs", id)
	}
	b, err := d.connection()
	if err != nil {
		return err
	}
	t.destroy()
	if err = d.remove(b, t); err != nil {
		d.collectLater()
	}
	awaitCollected(d.ctx, t.config.StdoutPath, t.config.StderrPath)
	return err
}

// remove has the broker remove the unit of a destroyed task and forgets it, unless
// somebody else has done so meanwhile.
func (d *Driver) remove(b *broker, t *task) error {
	t.removal.Lock()
	defer t.removal.Unlock()
	if known, ok := d.task(t.config.ID); !ok || known != t {
		return nil
	}
	ctx, cancel := context.WithTimeout(d.ctx, stopSlack)
	defer cancel()
	if _, err := b.RemoveUnit(ctx, d.removal(t)); err != nil {
		return fmt.Errorf("cannot remove %s now; it is tried again later: %s", t.handle.GetUnit(), status.Convert(err).Message())
	}
	d.forget(t)
	return nil
}

// InspectTask implements drivers.DriverPlugin.
func (d *Driver) InspectTask(id string) (*drivers.TaskStatus, error) {
	t, ok := d.task(id)
	if !ok {
		return nil, drivers.ErrTaskNotFound
	}
	s := t.status()
	d.addLoad(t, s.DriverAttributes)
	return s, nil
}

// SignalTask implements drivers.DriverPlugin.
func (d *Driver) SignalTask(id, signal string) error {
	t, ok := d.task(id)
	if !ok {
		return drivers.ErrTaskNotFound
	}
	sig, err := signalNumber(signal)
	if err != nil {
		return err
	}
	b, err := d.connection()
	if err != nil {
		return err
	}
	var tc TaskConfig
	if err := t.config.DecodeDriverConfig(&tc); err != nil {
		return fmt.Errorf("cannot read the task's config block: %w", err)
	}
	target, err := signalTarget(tc.SignalTarget)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(d.ctx, callTimeout)
	defer cancel()
	// A call that waits for a connection was not sent yet: no signal is sent twice.
	_, err = b.SignalUnit(ctx, &brokerv1.SignalUnitRequest{Handle: t.handle, Signal: sig, Target: target}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("cannot signal %s: %s", t.handle.GetUnit(), status.Convert(err).Message())
	}
	return nil
}

// tell reports the end of a task as an event, in systemd's words.
func (d *Driver) tell(t *task, u *brokerv1.Unit) {
	e := u.GetExit()
	if e == nil || e.GetResult() == "success" {
		return
	}
	text := fmt.Sprintf("systemd ended unit %s with result %q", t.handle.GetUnit(), e.GetResult())
	if e.GetOomKilled() {
		text = fmt.Sprintf("unit %s was killed: it needed more memory than its limit (systemd result %q); raise memory or memory_max", t.handle.GetUnit(), e.GetResult())
	}
	err := d.EmitEvent(&drivers.TaskEvent{
		TaskID: t.config.ID, TaskName: t.config.Name, AllocID: t.config.AllocID, Timestamp: time.Now(), Message: text,
		Annotations: map[string]string{"result": e.GetResult(), "unit": t.handle.GetUnit()},
	})
	if err != nil {
		d.log.Warn("cannot emit a task event", "error", err)
	}
}
