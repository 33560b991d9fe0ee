// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

const (
	brokerSocket = "/run/systemd-brokerd/broker.sock"
	allocRoot    = "/var/lib/nomad/alloc"
)

// identity is the user nomad.
type identity struct{ uid, gid int }

func nomadUser() (identity, error) {
	u, err := user.Lookup("nomad")
	if err != nil {
		return identity{}, err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return identity{}, err
	}
	gid, err := strconv.Atoi(u.Gid)
	return identity{uid, gid}, err
}

// client is the broker's client: this process, connected as user nomad.
type client struct {
	brokerv1.BrokerServiceClient
	conn *grpc.ClientConn
	user identity

	mu    sync.Mutex
	ended map[string]chan struct{} // id -> closed when the stream told of the end
	known chan struct{}            // closed when the stream has shown all units
}

func dialBroker(ctx context.Context) (*client, error) {
	who, err := nomadUser()
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("unix:"+brokerSocket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(_ context.Context, _ string) (net.Conn, error) { return who.connect(brokerSocket) }))
	if err != nil {
		return nil, err
	}
	c := &client{BrokerServiceClient: brokerv1.NewBrokerServiceClient(conn), conn: conn, user: who, ended: make(map[string]chan struct{}), known: make(chan struct{})}
	stream, err := c.WatchUnits(ctx, &brokerv1.WatchUnitsRequest{})
	if err != nil {
		return nil, err
	}
	go c.follow(stream)
	select {
	case <-c.known:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// connect connects in a thread that has the user's ids: those are what the broker
// sees (SO_PEERCRED). The thread ends with its goroutine.
func (who identity) connect(path string) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESGID, uintptr(who.gid), uintptr(who.gid), uintptr(who.gid)); e != 0 {
			err = e
			return
		}
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(who.uid), uintptr(who.uid), uintptr(who.uid)); e != 0 {
			err = e
			return
		}
		conn, err = net.Dial("unix", path)
	}()
	<-done
	return conn, err
}

func (c *client) follow(stream grpc.ServerStreamingClient[brokerv1.WatchUnitsResponse]) {
	for {
		m, err := stream.Recv()
		if err != nil {
			return
		}
		if m.GetSynced() {
			close(c.known)
		}
		if u := m.GetUnit(); u.GetExit() != nil || u.GetState() == brokerv1.UnitState_UNIT_STATE_LOST {
			c.mu.Lock()
			if ch, ok := c.ended[u.GetId()]; ok {
				close(ch)
				delete(c.ended, u.GetId())
			}
			c.mu.Unlock()
		}
	}
}

// end is closed when the stream tells of the end of the unit.
func (c *client) end(id string) <-chan struct{} {
	ch := make(chan struct{})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended[id] = ch
	return ch
}

// directories makes those of one more task, as Nomad would.
func (who identity) directories() (*brokerv1.Directories, error) {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	alloc := filepath.Join(allocRoot, fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
	d := &brokerv1.Directories{
		Alloc: filepath.Join(alloc, "alloc"), Local: filepath.Join(alloc, "task", "local"), Secrets: filepath.Join(alloc, "task", "secrets"),
	}
	for _, dir := range []string{alloc, d.GetAlloc(), filepath.Join(alloc, "task"), d.GetLocal(), d.GetSecrets(), filepath.Join(d.GetAlloc(), "logs")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, err
		}
		if err := os.Chown(dir, who.uid, who.gid); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// spec is a request for a unit that runs the program.
func spec(id string, d *brokerv1.Directories, command string, args ...string) *brokerv1.UnitSpec {
	return &brokerv1.UnitSpec{
		Id: id, Name: []string{"task", id[:8]}, Command: command, Args: args, Directories: d,
		Env:       map[string]string{"NOMAD_TASK_NAME": "task", "NOMAD_TASK_DIR": "/local", "PATH": "/usr/bin"},
		Labels:    map[string]string{"NOMAD_TASK_NAME": "task"},
		Resources: &brokerv1.Resources{CpuWeight: 100, MemoryMaxBytes: 64 << 20},
		Logging:   &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_NONE},
	}
}
