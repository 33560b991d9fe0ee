// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"

	"nomad-systemd-driver/driver"
)

// plugin is the driver as Nomad runs it: a process of its own, as user nomad.
type plugin struct {
	drivers.DriverPlugin
	client *goplugin.Client
	pid    int
	user   identity
}

func startPlugin(who identity) (*plugin, error) {
	cmd := exec.Command("/usr/libexec/nomad/plugins/nomad-systemd-driver")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(who.uid), Gid: uint32(who.gid)}}
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: base.Handshake, Cmd: cmd, AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		Plugins: map[string]goplugin.Plugin{
			base.PluginTypeBase: &base.PluginBase{}, base.PluginTypeDriver: drivers.NewDriverPlugin(nil, hclog.NewNullLogger()),
		},
		Logger: hclog.New(&hclog.LoggerOptions{Output: io.Discard}), StartTimeout: patience,
	})
	protocol, err := client.Client()
	if err != nil {
		return nil, err
	}
	raw, err := protocol.Dispense(base.PluginTypeDriver)
	if err != nil {
		return nil, err
	}
	d, ok := raw.(drivers.DriverPlugin)
	if !ok {
		return nil, fmt.Errorf("%T is no driver", raw)
	}
	if err := d.SetConfig(&base.Config{ApiVersion: drivers.ApiVersion010}); err != nil {
		return nil, err
	}
	return &plugin{d, client, cmd.Process.Pid, who}, nil
}

// task makes the directories and logs of one more task, as Nomad would.
func (p *plugin) task() (*drivers.TaskConfig, error) {
	dirs, err := p.user.directories()
	if err != nil {
		return nil, err
	}
	alloc := filepath.Dir(dirs.GetAlloc())
	c := &drivers.TaskConfig{
		ID: filepath.Base(alloc) + "/task/" + newID()[:8], AllocID: filepath.Base(alloc), Name: "task", JobName: "bench", TaskGroupName: "group",
		JobID: "bench", Namespace: "default", NodeName: "node", NodeID: "node",
		AllocDir: alloc, StdoutPath: filepath.Join(dirs.GetAlloc(), "logs", ".stdout.fifo"), StderrPath: filepath.Join(dirs.GetAlloc(), "logs", ".stderr.fifo"),
		Env: map[string]string{"NOMAD_TASK_DIR": "/local", "PATH": "/usr/bin"},
		Resources: &drivers.Resources{
			NomadResources: &structs.AllocatedTaskResources{
				Cpu:    structs.AllocatedCpuResources{CpuShares: 100},
				Memory: structs.AllocatedMemoryResources{MemoryMB: 64},
			},
			LinuxResources: &drivers.LinuxResources{CPUShares: 100, MemoryLimitBytes: 64 << 20},
		},
	}
	for _, fifo := range []string{c.StdoutPath, c.StderrPath} {
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			return nil, err
		}
		if err := os.Chown(fifo, p.user.uid, p.user.gid); err != nil {
			return nil, err
		}
	}
	return c, c.EncodeConcreteDriverConfig(&driver.TaskConfig{Command: sleep, Args: []string{"36000"}})
}

// knows waits until the driver has found the unit of a task.
func (p *plugin) knows(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := p.InspectTask(id)
		if err != nil {
			return err
		}
		if s.DriverAttributes["pid"] != "" {
			return nil
		}
		select {
		case <-tick.C: // the interface has no event for it
		case <-ctx.Done():
			return fmt.Errorf("the driver does not find the unit of %s", id)
		}
	}
}

// sockets are the process's descriptors that lead to PID 1. The kernel shows both ends
// of a connection in the network namespace of the one that connects.
func sockets(pid int) (map[string]bool, error) {
	text, err := command("nsenter", "--net", "--target", strconv.Itoa(pid), "ss", "-xH")
	if err != nil {
		return nil, err
	}
	peers := make(map[string]bool)
	for line := range strings.Lines(text) {
		// Netid State Recv-Q Send-Q Local Inode Peer Inode
		if f := strings.Fields(line); len(f) >= 8 && f[4] == "/run/systemd/private" {
			peers["socket:["+f[7]+"]"] = true
		}
	}
	fds := make(map[string]bool)
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, f := range files {
		if to, err := os.Readlink(f); err == nil && peers[to] {
			fds[filepath.Base(f)] = true
		}
	}
	if len(fds) == 0 {
		return nil, fmt.Errorf("process %d has no connection to PID 1", pid)
	}
	return fds, nil
}
