// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
)

// window is how long a steady state is looked at.
const window = 15 * time.Second

var points = []int{10, 30, 100, 300, 500, 1000}

// herd is a growing number of tasks of the driver.
type herd struct {
	*bench
	bus     *bus
	plugin  *plugin
	handles []*drivers.TaskHandle
}

// growth measures what one more unit costs, up to the most.
func (b *bench) growth() error {
	pid1, err := dialBus()
	if err != nil {
		return err
	}
	who, err := nomadUser()
	if err != nil {
		return err
	}
	p, err := startPlugin(who)
	if err != nil {
		return err
	}
	h := &herd{b, pid1, p, nil}
	defer func() { h.plugin.client.Kill() }()
	if err := h.look(0); err != nil {
		return err
	}
	for _, n := range points {
		if n > b.most {
			break
		}
		if err := h.reach(n); err != nil {
			return fmt.Errorf("%d units: %w", n, err)
		}
		b.note("%d units", n)
	}
	return h.end()
}

// reach brings the number of tasks to n and looks at what that is like.
func (h *herd) reach(n int) error {
	const last = 5
	from := time.Now()
	before := len(h.handles)
	if err := h.start(n-before-last, 8); err != nil {
		return err
	}
	if n-before > 50 {
		h.add("growth rate", "driver", strconv.Itoa(n), 1, float64(n-before-last)/time.Since(from).Seconds(), "1/s")
	}
	for round := range last {
		from := time.Now()
		if err := h.start(1, 1); err != nil {
			return err
		}
		h.seconds("growth start", "driver", strconv.Itoa(n), round+1, time.Since(from))
	}
	if err := h.look(n); err != nil {
		return err
	}
	return h.recover(n)
}

func (h *herd) start(n, concurrency int) error {
	var mu sync.Mutex
	var failed []error
	todo := make([]*drivers.TaskConfig, n)
	for i := range todo {
		c, err := h.plugin.task()
		if err != nil {
			return err
		}
		todo[i] = c
	}
	parallel(todo, concurrency, func(c *drivers.TaskConfig) {
		handle, _, err := h.plugin.StartTask(c)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed = append(failed, err)
			return
		}
		handle.Config = c
		h.handles = append(h.handles, handle)
	})
	return errors.Join(failed...)
}

// look measures memory, and a window without and one with statistics.
func (h *herd) look(n int) error {
	broker, err := mainPID("systemd-brokerd")
	if err != nil {
		return err
	}
	mounts, _ := mainPID("systemd-brokerd-mounts")
	subjects := map[string]int{"PID 1": 1, "broker": broker, "driver": h.plugin.pid}
	if mounts > 0 {
		subjects["mounts"] = mounts
	}
	param := strconv.Itoa(n)
	for name, pid := range subjects {
		h.add("growth rss", name, param, 1, rss(pid), "KiB")
		h.add("growth own memory", name, param, 1, own(pid), "KiB")
		h.add("growth descriptors", name, param, 1, descriptors(pid), "")
	}
	if err := h.steady("idle", param, broker, subjects); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	for _, t := range h.handles {
		c, err := h.plugin.TaskStats(ctx, t.Config.ID, time.Second)
		if err != nil {
			return err
		}
		go func() {
			for range c { //nolint:revive // only the cost matters
			}
		}()
	}
	time.Sleep(3 * time.Second) // the streams come to their common grid
	if err := h.steady("stats", param, broker, subjects); err != nil {
		return err
	}
	h.add("growth rss with stats", "driver", param, 1, rss(h.plugin.pid), "KiB")
	return nil
}

// steady is what the processes do in a window, by the minute.
func (h *herd) steady(state, param string, broker int, subjects map[string]int) error {
	type sum struct {
		processor time.Duration
		switches  float64
	}
	before := make(map[string]sum)
	for name, pid := range subjects {
		before[name] = sum{processor(pid), switches(pid)}
	}
	t, err := startTrace(broker)
	if err != nil {
		return err
	}
	from := time.Now()
	time.Sleep(window)
	n, err := t.stop()
	if err != nil {
		return err
	}
	minutes := time.Since(from).Minutes()
	for name, pid := range subjects {
		h.add("growth cpu "+state, name, param, 1, (processor(pid)-before[name].processor).Seconds()/minutes, "s/min")
		h.add("growth wakeups "+state, name, param, 1, (switches(pid)-before[name].switches)/minutes, "1/min")
	}
	h.add("growth d-bus "+state, "broker", param, 1, float64(n)/minutes, "1/min")
	return nil
}

// recover measures how long a new broker, and then a new driver, takes to know all.
func (h *herd) recover(n int) error {
	param := strconv.Itoa(n)
	for round := range 3 {
		from := time.Now()
		got, err := h.bus.list(h.ctx, "nomad-*.service")
		if err != nil {
			return err
		}
		if got != n {
			return fmt.Errorf("PID 1 lists %d units", got)
		}
		h.seconds("recover", "ListUnits", param, round+1, time.Since(from))
		if _, err := command("systemctl", "stop", "systemd-brokerd"); err != nil {
			return err
		}
		from = time.Now()
		if _, err := command("systemctl", "start", "systemd-brokerd"); err != nil {
			return err
		}
		c, err := dialBroker(h.ctx)
		if err != nil {
			return err
		}
		h.seconds("recover", "broker", param, round+1, time.Since(from))
		_ = c.conn.Close()
		if err := h.recoverDriver(param, round+1); err != nil {
			return err
		}
	}
	return nil
}

func (h *herd) recoverDriver(param string, round int) error {
	if p, err := os.FindProcess(h.plugin.pid); err == nil {
		_ = p.Kill()
	}
	h.plugin.client.Kill()
	p, err := startPlugin(h.plugin.user)
	if err != nil {
		return err
	}
	h.plugin = p
	from := time.Now()
	for _, handle := range h.handles {
		if err := p.RecoverTask(handle); err != nil {
			return err
		}
	}
	for _, handle := range h.handles {
		if err := p.knows(h.ctx, handle.Config.ID); err != nil {
			return err
		}
	}
	h.seconds("recover", "driver", param, round, time.Since(from))
	return nil
}

// end ends all tasks.
func (h *herd) end() error {
	var mu sync.Mutex
	var failed []error
	from := time.Now()
	parallel(h.handles, 8, func(handle *drivers.TaskHandle) {
		if err := h.plugin.StopTask(handle.Config.ID, 10*time.Second, "SIGKILL"); err != nil {
			mu.Lock()
			failed = append(failed, err)
			mu.Unlock()
		}
		if err := h.plugin.DestroyTask(handle.Config.ID, true); err != nil {
			mu.Lock()
			failed = append(failed, err)
			mu.Unlock()
		}
		_ = os.RemoveAll(handle.Config.AllocDir)
	})
	h.add("growth end rate", "driver", strconv.Itoa(len(h.handles)), 1, float64(len(h.handles))/time.Since(from).Seconds(), "1/s")
	return errors.Join(failed...)
}
