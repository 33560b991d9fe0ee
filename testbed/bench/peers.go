// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/durationpb"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/unit"
	"nomad-systemd-driver/broker/users"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// peer is a way to run a program as a unit of PID 1.
type peer interface {
	// prepare does what is no part of a start, and returns what starts a program
	// that waits: it comes back when the program has been executed.
	prepare(ctx context.Context) (start func() (running, error), err error)
}

// running is a program that a peer has started.
type running interface {
	pid() (int, error)
	// exited returns when the peer has told of the end of the program; it is called
	// before the program is killed.
	exited() func() error
	// stop has the peer end the program.
	stop() error
	// remove leaves nothing behind.
	remove() error
}

func newID() string { return strings.ToLower(rand.Text()) }

// Peers by the names they have in the figures.
const (
	ofBare   = "bare"        // StartTransientUnit with a command and nothing else
	ofSame   = "same unit"   // StartTransientUnit with the properties the broker sends
	ofRun    = "systemd-run" // systemd-run --wait of the unit of bare
	ofBroker = "broker"
	ofPodman = "podman run" // podman run --detach
)

func dialPeers(ctx context.Context) (map[string]peer, *bus, error) {
	b, err := dialBus()
	if err != nil {
		return nil, nil, err
	}
	c, err := dialBroker(ctx)
	if err != nil {
		return nil, nil, err
	}
	same, err := newSame(c.user)
	if err != nil {
		return nil, nil, err
	}
	return map[string]peer{
		ofBare: &direct{b, barely}, ofSame: &direct{b, sameUnit(same)}, ofRun: &systemdRun{b}, ofBroker: &byBroker{c},
	}, b, nil
}

// direct starts what properties says over the bus.
type direct struct {
	bus        *bus
	properties func() (string, []unit.Property, error)
}

type executed struct {
	Path          string
	Args          []string
	IgnoreFailure bool
}

func barely() (string, []unit.Property, error) {
	return "bench-" + newID() + ".service", []unit.Property{
		{Name: "Type", Value: dbus.MakeVariant("exec")},
		{Name: "ExecStart", Value: dbus.MakeVariant([]executed{{sleep, []string{sleep, "3600"}, false}})},
	}, nil
}

// newSame returns what the broker would send for its own units, made by the same
// code, with files and directories that are there already: what is left out is all
// that the broker does besides.
func newSame(who identity) (func() (*unit.Unit, error), error) {
	rules, err := readPolicy()
	if err != nil {
		return nil, err
	}
	dir := "/run/bench"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	host := unit.Host{
		Root: "/run/systemd-brokerd/root", Passwd: "/etc/passwd", Group: "/etc/group",
		EnvironmentFile: filepath.Join(dir, "environment"), Fields: map[string]string{"BROKER_CLIENT": "bench"},
	}
	for _, path := range strings.Fields(`/usr /etc/alternatives /etc/ca-certificates /etc/gai.conf /etc/host.conf /etc/hosts
		/etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d /etc/localtime /etc/mime.types /etc/nsswitch.conf /etc/os-release
		/etc/protocols /etc/resolv.conf /etc/services /etc/ssl/certs /etc/ssl/openssl.cnf /etc/timezone`) {
		host.ReadOnly = append(host.ReadOnly, path)
	}
	if err := os.WriteFile(host.EnvironmentFile, []byte("NOMAD_TASK_NAME=task\nNOMAD_TASK_DIR=/local\nPATH=/usr/bin\n"), 0o600); err != nil {
		return nil, err
	}
	return func() (*unit.Unit, error) {
		d, err := who.directories()
		if err != nil {
			return nil, err
		}
		id := newID()
		decision, err := decide(rules, who, d, id)
		if err != nil {
			return nil, err
		}
		host := host
		host.Alloc, host.Local, host.Secrets = d.GetAlloc(), d.GetLocal(), d.GetSecrets()
		host.DynamicUser = unit.DynamicUserName(decision.Client().UnitPrefix, id, 0)
		return unit.From(decision, host)
	}, nil
}

func readPolicy() (*policy.Policy, error) {
	names, err := users.Read("/etc/passwd", "/etc/group")
	if err != nil {
		return nil, err
	}
	return policy.Load(os.DirFS(policyDir), names, nil)
}

func decide(rules *policy.Policy, who identity, d *brokerv1.Directories, id string) (*policy.Decision, error) {
	return rules.Decide(policy.Peer{UID: uint32(who.uid)}, &policy.Request{
		ID: id, Name: []string{"same", id[:8]}, Command: sleep, Args: []string{"3600"},
		Labels:      map[string]string{"NOMAD_TASK_NAME": "task"},
		Directories: policy.Directories{Alloc: d.GetAlloc(), Local: d.GetLocal(), Secrets: d.GetSecrets()},
		Resources:   policy.Resources{CPUWeight: 100, MemoryMax: 64 << 20},
		LogDriver:   policy.LogNone, Rootfs: policy.Rootfs{Kind: policy.RootfsMinimal},
	})
}

// sameUnit is what direct starts of it: the broker takes over only units with its
// own client's name.
func sameUnit(make func() (*unit.Unit, error)) func() (string, []unit.Property, error) {
	return func() (string, []unit.Property, error) {
		u, err := make()
		if err != nil {
			return "", nil, err
		}
		return "bench-" + newID() + ".service", u.Properties(), nil
	}
}

func (p *direct) prepare(ctx context.Context) (func() (running, error), error) {
	name, properties, err := p.properties()
	if err != nil {
		return nil, err
	}
	return func() (running, error) {
		return &directUnit{ctx, p.bus, name}, p.bus.start(ctx, name, properties)
	}, nil
}

type directUnit struct {
	ctx  context.Context
	bus  *bus
	name string
}

func (u *directUnit) pid() (int, error) { return u.bus.mainPID(u.ctx, u.name) }

func (u *directUnit) exited() func() error {
	c := u.bus.expect("end " + u.name)
	return func() error {
		_, err := await(u.ctx, c, "the end of "+u.name)
		return err
	}
}

func (u *directUnit) stop() error { return u.bus.stop(u.ctx, u.name) }

func (u *directUnit) remove() error {
	_ = u.bus.stop(u.ctx, u.name) // it may be gone
	_ = u.bus.call(u.ctx, "ResetFailedUnit", u.name)
	return nil
}

// systemdRun is a process for each unit. That the program has been executed shows in
// the start of its job ending, which the bus tells.
type systemdRun struct{ bus *bus }

func (p *systemdRun) prepare(ctx context.Context) (func() (running, error), error) {
	name := "bench-" + newID() + ".service"
	return func() (running, error) {
		done := p.bus.expect("job " + name)
		u := &runUnit{directUnit{ctx, p.bus, name}, exec.Command("systemd-run", "--quiet", "--wait", "--property=Type=exec", "--unit="+name, sleep, "3600")}
		if err := u.cmd.Start(); err != nil {
			return nil, err
		}
		_, err := await(ctx, done, "the start of "+name)
		return u, err
	}, nil
}

type runUnit struct {
	directUnit
	cmd *exec.Cmd
}

func (u *runUnit) exited() func() error {
	return func() error {
		_ = u.cmd.Wait() // the program was killed, and systemd-run says so
		return nil
	}
}

func (u *runUnit) stop() error {
	_, err := command("systemctl", "stop", u.name)
	return err
}

func (u *runUnit) remove() error {
	err := u.directUnit.remove()
	_ = u.cmd.Wait()
	return err
}

type byBroker struct{ client *client }

func (p *byBroker) prepare(ctx context.Context) (func() (running, error), error) {
	d, err := p.client.user.directories()
	if err != nil {
		return nil, err
	}
	return func() (running, error) {
		return p.client.start(ctx, spec(newID(), d, sleep, "3600"))
	}, nil
}

func (c *client) start(ctx context.Context, s *brokerv1.UnitSpec) (running, error) {
	resp, err := c.StartUnit(ctx, &brokerv1.StartUnitRequest{Spec: s})
	return &brokerUnit{ctx, c, resp.GetUnit(), s.GetDirectories()}, err
}

type brokerUnit struct {
	ctx    context.Context
	client *client
	unit   *brokerv1.Unit
	dirs   *brokerv1.Directories
}

func (u *brokerUnit) pid() (int, error) { return int(u.unit.GetMainPid()), nil }

func (u *brokerUnit) exited() func() error {
	end := u.client.end(u.unit.GetId())
	return func() error {
		select {
		case <-end:
			return nil
		case <-time.After(patience):
			return fmt.Errorf("the broker does not tell of the end of %s", u.unit.GetId())
		}
	}
}

func (u *brokerUnit) stop() error {
	_, err := u.client.StopUnit(u.ctx, &brokerv1.StopUnitRequest{
		Handle: u.unit.GetHandle(), Signal: uint32(unix.SIGTERM), GracePeriod: durationpb.New(patience),
	})
	return err
}

func (u *brokerUnit) remove() error {
	_, err := u.client.RemoveUnit(u.ctx, &brokerv1.RemoveUnitRequest{Handle: u.unit.GetHandle()})
	_ = os.RemoveAll(filepath.Dir(u.dirs.GetAlloc()))
	return err
}
