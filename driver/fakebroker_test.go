// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// patience bounds each wait for what must happen.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	restartTime = 3 * time.Second
	os.Exit(m.Run())
}

// fakeBroker is a broker without systemd, on real sockets: it can go away, come
// back and say anything, which the real one does not do on demand.
type fakeBroker struct {
	brokerv1.UnimplementedBrokerServiceServer
	t   *testing.T
	dir string

	mu        sync.Mutex
	server    *grpc.Server
	fds       net.Listener
	units     map[string]*brokerv1.Unit // by unit name
	changed   chan struct{}             // closed and replaced at each change
	calls     map[string]int
	startErr  error
	stopErr   error
	removeErr error // of the next RemoveUnit
	// While held, what the method is to do is done and its answer is not sent.
	startHeld, removeHeld chan struct{}
	unhealthy             string
	handed                map[string][]*os.File // descriptors, by token
	spec                  *brokerv1.UnitSpec    // of the last StartUnit
}

func newFakeBroker(t *testing.T) *fakeBroker {
	b := &fakeBroker{
		t: t, dir: t.TempDir(), units: make(map[string]*brokerv1.Unit),
		changed: make(chan struct{}), calls: make(map[string]int), handed: make(map[string][]*os.File),
	}
	t.Cleanup(b.stop)
	return b
}

func (b *fakeBroker) config() Config {
	return Config{BrokerSocket: filepath.Join(b.dir, "broker.sock"), FDSocket: filepath.Join(b.dir, "fds.sock")}
}

// start serves; units that were there before stop are there again.
func (b *fakeBroker) start() {
	b.t.Helper()
	for _, path := range []string{b.config().BrokerSocket, b.config().FDSocket} {
		_ = os.Remove(path)
	}
	l, err := net.Listen("unix", b.config().BrokerSocket)
	if err != nil {
		b.t.Fatal(err)
	}
	fds, err := net.Listen("unixpacket", b.config().FDSocket)
	if err != nil {
		b.t.Fatal(err)
	}
	if unixListener, ok := l.(*net.UnixListener); ok {
		unixListener.SetUnlinkOnClose(false) // a broker that dies leaves it
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.server, b.fds = grpc.NewServer(), fds
	brokerv1.RegisterBrokerServiceServer(b.server, b)
	go func(s *grpc.Server) { _ = s.Serve(l) }(b.server)
	go b.acceptFDs(fds)
}

func (b *fakeBroker) acceptFDs(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		token, oob := make([]byte, 64), make([]byte, 128)
		_, n, _, _, err := conn.(*net.UnixConn).ReadMsgUnix(token, oob)
		messages, merr := unix.ParseSocketControlMessage(oob[:n])
		if err == nil && merr == nil && len(messages) == 1 {
			fds, _ := unix.ParseUnixRights(&messages[0])
			for _, fd := range fds {
				b.change(func() { b.handed[string(token)] = append(b.handed[string(token)], os.NewFile(uintptr(fd), "handed")) })
			}
		}
		_, _ = conn.Write([]byte("ok"))
		_ = conn.Close()
	}
}

// stop breaks all connections, as the end of the process does.
func (b *fakeBroker) stop() {
	b.mu.Lock()
	server, fds := b.server, b.fds
	b.server, b.fds = nil, nil
	b.mu.Unlock()
	if server != nil {
		server.Stop()
		_ = fds.Close()
	}
}

// change edits the units and what else the broker answers with.
func (b *fakeBroker) change(edit func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	edit()
	close(b.changed)
	b.changed = make(chan struct{})
}

// end lets the only unit exit with this code.
func (b *fakeBroker) end(code int32) {
	b.change(func() {
		for _, u := range b.units {
			u.State, u.MainPid = brokerv1.UnitState_UNIT_STATE_EXITED, 0
			u.Exit = &brokerv1.Exit{Code: code, Result: "exit-code", ExitedAt: timestamppb.Now()}
		}
	})
}

func (b *fakeBroker) count(method string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls[method]
}

// await returns once a method has been called so often.
func (b *fakeBroker) await(method string, times int) {
	b.t.Helper()
	deadline := time.After(patience)
	for {
		b.mu.Lock()
		n, changed := b.calls[method], b.changed
		b.mu.Unlock()
		if n >= times {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			b.t.Fatalf("%s was called %d times, want %d", method, n, times)
		}
	}
}

func (b *fakeBroker) called(method string) {
	b.change(func() { b.calls[method]++ })
}

func (b *fakeBroker) Info(context.Context, *brokerv1.InfoRequest) (*brokerv1.InfoResponse, error) {
	b.called("Info")
	b.mu.Lock()
	defer b.mu.Unlock()
	return &brokerv1.InfoResponse{
		Version: "1.2.3", SystemdVersion: "252", Client: "nomad", Features: []string{"logging-fds"}, UnhealthyReason: b.unhealthy,
	}, nil
}

func (b *fakeBroker) StartUnit(_ context.Context, r *brokerv1.StartUnitRequest) (*brokerv1.StartUnitResponse, error) {
	b.called("StartUnit")
	var u *brokerv1.Unit
	b.change(func() {
		b.spec = r.GetSpec()
		if b.startErr != nil {
			return
		}
		u = &brokerv1.Unit{
			Id: r.GetSpec().GetId(), State: brokerv1.UnitState_UNIT_STATE_RUNNING, MainPid: 4711, StartedAt: timestamppb.Now(),
			Handle: &brokerv1.Handle{Unit: "nomad-" + r.GetSpec().GetName()[0] + ".service", InvocationId: "0123456789abcdef0123456789abcdef"},
		}
		b.units[u.GetHandle().GetUnit()] = u
	})
	if u == nil {
		return nil, b.startErr
	}
	b.wait(b.startHeld)
	return &brokerv1.StartUnitResponse{Unit: u}, nil
}

func (b *fakeBroker) lastSpec() *brokerv1.UnitSpec {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spec
}

func (b *fakeBroker) GetUnit(_ context.Context, r *brokerv1.GetUnitRequest) (*brokerv1.GetUnitResponse, error) {
	b.called("GetUnit")
	b.mu.Lock()
	defer b.mu.Unlock()
	u, ok := b.units[r.GetHandle().GetUnit()]
	if !ok {
		return nil, status.Error(codes.NotFound, "no such unit")
	}
	return &brokerv1.GetUnitResponse{Unit: u}, nil
}

func (b *fakeBroker) ListUnits(context.Context, *brokerv1.ListUnitsRequest) (*brokerv1.ListUnitsResponse, error) {
	b.called("ListUnits")
	b.mu.Lock()
	defer b.mu.Unlock()
	resp := new(brokerv1.ListUnitsResponse)
	for _, u := range b.units {
		resp.Units = append(resp.Units, proto.CloneOf(u))
	}
	return resp, nil
}

func (b *fakeBroker) StopUnit(ctx context.Context, _ *brokerv1.StopUnitRequest) (*brokerv1.StopUnitResponse, error) {
	b.called("StopUnit")
	for {
		b.mu.Lock()
		if b.stopErr != nil {
			defer b.mu.Unlock()
			return nil, b.stopErr
		}
		changed := b.changed
		over := true
		for _, u := range b.units {
			over = over && u.GetState() == brokerv1.UnitState_UNIT_STATE_EXITED
		}
		b.mu.Unlock()
		if over {
			return &brokerv1.StopUnitResponse{}, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (b *fakeBroker) SignalUnit(context.Context, *brokerv1.SignalUnitRequest) (*brokerv1.SignalUnitResponse, error) {
	b.called("SignalUnit")
	return &brokerv1.SignalUnitResponse{}, nil
}

func (b *fakeBroker) RemoveUnit(_ context.Context, r *brokerv1.RemoveUnitRequest) (*brokerv1.RemoveUnitResponse, error) {
	var err error
	b.change(func() {
		b.calls["RemoveUnit"]++
		if err, b.removeErr = b.removeErr, nil; err == nil {
			delete(b.units, r.GetHandle().GetUnit())
		}
	})
	b.wait(b.removeHeld)
	return &brokerv1.RemoveUnitResponse{}, err
}

func (*fakeBroker) wait(held <-chan struct{}) {
	if held != nil {
		<-held
	}
}

// ExecInUnit runs the program on this host, on the descriptors handed over.
func (b *fakeBroker) ExecInUnit(r *brokerv1.ExecInUnitRequest, stream grpc.ServerStreamingServer[brokerv1.ExecInUnitResponse]) error {
	b.called("ExecInUnit")
	b.mu.Lock()
	files, err := b.handed[r.GetFdToken()], b.startErr
	delete(b.handed, r.GetFdToken())
	b.mu.Unlock()
	for _, f := range files {
		defer f.Close()
	}
	if err != nil || len(files) != 3 {
		return errors.Join(err, status.Errorf(codes.InvalidArgument, "%d descriptors", len(files)))
	}
	cmd := exec.CommandContext(stream.Context(), r.GetSpec().GetCommand(), r.GetSpec().GetArgs()...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = files[0], files[1], files[2]
	if _, err := unix.IoctlGetWinsize(int(files[0].Fd()), unix.TIOCGWINSZ); err == nil {
		cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
		// As systemd does with a terminal before it executes the program.
		if err := unix.IoctlSetInt(int(files[0].Fd()), unix.TCFLSH, unix.TCIOFLUSH); err != nil {
			return err
		}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := stream.Send(&brokerv1.ExecInUnitResponse{}); err != nil {
		return err
	}
	_ = cmd.Wait()
	if err := stream.Context().Err(); err != nil {
		return err
	}
	if cmd.Path == "/bin/false" {
		return stream.Send(&brokerv1.ExecInUnitResponse{}) // of which nothing is known
	}
	return stream.Send(&brokerv1.ExecInUnitResponse{Exit: &brokerv1.Exit{Code: int32(cmd.ProcessState.ExitCode())}})
}

func (b *fakeBroker) WatchUnits(_ *brokerv1.WatchUnitsRequest, stream grpc.ServerStreamingServer[brokerv1.WatchUnitsResponse]) error {
	b.called("WatchUnits")
	for first := true; ; first = false {
		b.mu.Lock()
		changed := b.changed
		var all []*brokerv1.WatchUnitsResponse
		for _, u := range b.units {
			all = append(all, &brokerv1.WatchUnitsResponse{Unit: proto.CloneOf(u)})
		}
		b.mu.Unlock()
		if first {
			all = append(all, &brokerv1.WatchUnitsResponse{Synced: true})
		}
		for _, m := range all {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// newDriver is a driver that trusts the fake broker. It ends with the test.
func newDriver(t *testing.T, c Config) *Driver {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	d := New(ctx, testLogger(t))
	d.serverUID = uint32(os.Getuid())
	setConfig(t, d, c)
	return d
}

func setConfig(t *testing.T, d *Driver, c Config) {
	t.Helper()
	var raw []byte
	if err := base.MsgPackEncode(&raw, c); err != nil {
		t.Fatal(err)
	}
	if err := d.SetConfig(&base.Config{PluginConfig: raw}); err != nil {
		t.Fatal(err)
	}
}

func testLogger(t *testing.T) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: testLog{t}})
}

// testLog writes a driver's log into a test's, and nothing after its end.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Logf("%s", p)
	}
	return len(p), nil
}

// newTaskConfig is a task as Nomad gives it to the driver.
func newTaskConfig(t *testing.T, tc TaskConfig) *drivers.TaskConfig {
	t.Helper()
	dir := t.TempDir()
	c := &drivers.TaskConfig{
		ID: "3f2b6f0e-0000-4000-8000-000000000000/web/1a2b3c4d", Name: "web", AllocID: "3f2b6f0e-0000-4000-8000-000000000000",
		JobName: "shop", JobID: "shop", TaskGroupName: "front", Namespace: "default", NodeID: "node", NodeName: "host",
		Env: map[string]string{"PORT": "8080"}, AllocDir: dir,
		StdoutPath: filepath.Join(dir, "stdout.fifo"), StderrPath: filepath.Join(dir, "stderr.fifo"),
		Resources: &drivers.Resources{
			NomadResources: &structs.AllocatedTaskResources{Memory: structs.AllocatedMemoryResources{MemoryMB: 64}},
			LinuxResources: &drivers.LinuxResources{CPUShares: 500},
		},
	}
	for _, path := range []string{c.StdoutPath, c.StderrPath} {
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.EncodeConcreteDriverConfig(&tc); err != nil {
		t.Fatal(err)
	}
	return c
}

// result waits for the task's end.
func result(t *testing.T, d *Driver, id string) *drivers.ExitResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ch, err := d.WaitTask(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	r, ok := <-ch
	if !ok {
		t.Fatalf("the task did not end within %s", patience)
	}
	return r
}
