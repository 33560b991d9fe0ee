// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/systemd/unitpath"
	"nomad-systemd-driver/broker/unit"
)

// bus is the floor: one connection to PID 1 and nothing that is not needed to
// start a unit and to see what becomes of it.
type bus struct {
	conn    *dbus.Conn
	manager dbus.BusObject

	mu      sync.Mutex
	waiting map[string]chan string // unit -> result of its job, or its state
}

const managerPath = "/org/freedesktop/systemd1"

func dialBus() (*bus, error) {
	conn, err := dbus.Dial("unix:path=/run/systemd/private")
	if err != nil {
		return nil, err
	}
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal("0")}); err != nil {
		return nil, err
	}
	b := &bus{conn: conn, manager: conn.Object("org.freedesktop.systemd1", managerPath), waiting: make(map[string]chan string)}
	signals := make(chan *dbus.Signal, 10000)
	conn.Signal(signals)
	go b.follow(signals)
	return b, nil
}

func (b *bus) follow(signals <-chan *dbus.Signal) {
	for s := range signals {
		switch s.Name {
		case "org.freedesktop.systemd1.Manager.JobRemoved":
			if len(s.Body) == 4 {
				b.tell("job "+s.Body[2].(string), s.Body[3].(string))
			}
		case "org.freedesktop.DBus.Properties.PropertiesChanged":
			if len(s.Body) < 2 || s.Body[0] != "org.freedesktop.systemd1.Unit" {
				continue
			}
			changed, _ := s.Body[1].(map[string]dbus.Variant)
			state, _ := changed["SubState"].Value().(string)
			if state == "failed" || state == "dead" || state == "exited" {
				if name, ok := unitpath.Unit(s.Path); ok {
					b.tell("end "+name, state)
				}
			}
		}
	}
}

func (b *bus) tell(key, what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c, ok := b.waiting[key]; ok {
		c <- what
		delete(b.waiting, key)
	}
}

// expect must come before what causes the event.
func (b *bus) expect(key string) <-chan string {
	c := make(chan string, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting[key] = c
	return c
}

func await(ctx context.Context, c <-chan string, what string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case s := <-c:
		return s, nil
	case <-ctx.Done():
		return "", fmt.Errorf("%s did not come within %s", what, patience)
	}
}

type auxiliary struct {
	Name       string
	Properties []unit.Property
}

// start returns when the unit's start job is done: with Type=exec, after execve.
func (b *bus) start(ctx context.Context, name string, properties []unit.Property) error {
	done := b.expect("job " + name)
	call := b.manager.CallWithContext(ctx, "org.freedesktop.systemd1.Manager.StartTransientUnit", 0,
		name, "fail", properties, []auxiliary{})
	if call.Err != nil {
		return call.Err
	}
	result, err := await(ctx, done, "the end of the start of "+name)
	if err == nil && result != "done" {
		err = fmt.Errorf("the start of %s ended as %s", name, result)
	}
	return err
}

func (b *bus) stop(ctx context.Context, name string) error {
	done := b.expect("job " + name)
	if err := b.call(ctx, "StopUnit", name, "replace"); err != nil {
		return err
	}
	_, err := await(ctx, done, "the end of the stop of "+name)
	return err
}

func (b *bus) call(ctx context.Context, method string, args ...any) error {
	return b.manager.CallWithContext(ctx, "org.freedesktop.systemd1.Manager."+method, 0, args...).Err
}

// property reads a property of a unit.
func (b *bus) property(ctx context.Context, name, property string) (v dbus.Variant, err error) {
	object := b.conn.Object("org.freedesktop.systemd1", unitpath.Of(name))
	err = object.CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, "org.freedesktop.systemd1.Service", property).Store(&v)
	return v, err
}

func (b *bus) mainPID(ctx context.Context, name string) (int, error) {
	v, err := b.property(ctx, name, "MainPID")
	pid, _ := v.Value().(uint32)
	return int(pid), err
}

// list is how long PID 1 and the connection take to list the units.
func (b *bus) list(ctx context.Context, pattern string) (int, error) {
	var rows [][]any
	err := b.manager.CallWithContext(ctx, "org.freedesktop.systemd1.Manager.ListUnitsByPatterns", 0, []string{}, []string{pattern}).Store(&rows)
	return len(rows), err
}
