// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"nomad-systemd-driver/broker/mounts"
	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/broker/systemd/fakepid1"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// clientUID is the uid of the tests' client. Tests that run as root own the
// client's files in another's name, as root is never a client.
func clientUID() uint32 {
	if uid := os.Getuid(); uid != 0 {
		return uint32(uid)
	}
	return 991
}

type twoUsers struct{}

func (twoUsers) User(name string) (policy.User, error) {
	switch name {
	case "nomad":
		return policy.User{Name: name, UID: clientUID(), GID: 991}, nil
	case "alice":
		return policy.User{Name: name, UID: 2001, GID: 2001}, nil
	}
	return policy.User{}, policy.ErrUnknown
}
func (twoUsers) Group(string) (uint32, error) { return 0, policy.ErrUnknown }

const testPolicy = `
version = 1
client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "ALLOC"
  max_units   = 3
}
rule "local" {
  client = "nomad"
  exec {
    under = ["/local"]
  }
  run_as {
    dynamic_user = true
    users        = ["alice"]
  }
  volumes {
    read_only = ["/usr/share"]
  }
  devices = ["/dev/fuse"]
  log_drivers = ["fds", "journal"]
  sessions    = true
}
`

// world is a broker on a fake PID 1, and a client of it.
type world struct {
	t      *testing.T
	pid1   *fakepid1.Server
	server *Server
	client brokerv1.BrokerServiceClient
	conn   *grpc.ClientConn // the client's
	alloc  string           // the client's alloc_root
	socket string
	fds    string
	run    string
	tokens int // made so far
	audit  auditLog
	log    records // of the broker's own log
	stop   func()

	// cpus are those of the host, if set; confined is what every unit that a broker
	// finds is confined to.
	cpus, confined []uint32
	mounts         fakeMounts
	// afterNew is called when a broker has read the units and does not serve yet.
	afterNew func()
}

// fakeMounts mounts nothing, and keeps what it was asked for.
type fakeMounts struct {
	mu   sync.Mutex
	fail error
	// stuck is how often nothing more can be taken back.
	stuck int
	// unmapped: nothing can be mapped.
	unmapped bool
	asked    map[string][]mounts.Mount
	staged   map[string]bool
}

func (f *fakeMounts) Stage(_ context.Context, unit string, all []mounts.Mount) ([]string, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return nil, false, f.fail
	}
	if f.asked == nil {
		f.asked, f.staged = make(map[string][]mounts.Mount), make(map[string]bool)
	}
	f.asked[unit], f.staged[unit] = all, true
	paths := make([]string, len(all))
	for i := range all {
		paths[i] = mounts.Where("/staged", unit, i)
	}
	return paths, f.unmapped && all[0].Map != nil, nil
}

func (f *fakeMounts) Unstage(_ context.Context, unit string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stuck > 0 {
		f.stuck--
		return errors.New("the process that mounts died")
	}
	delete(f.staged, unit)
	return nil
}

// mappedTo is the user to whom the first directory of a unit was mapped.
func (f *fakeMounts) mappedTo(unit string) *mounts.User {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[unit][0].Map
}

func (f *fakeMounts) CheckDevices(context.Context, []string) error { return f.fail }

func (f *fakeMounts) Staged() ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.staged)), nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, pid1: fakepid1.New(t), alloc: t.TempDir(), run: t.TempDir()}
	for _, dir := range []string{"x/alloc", "x/web/local", "x/web/secrets"} {
		if err := os.MkdirAll(filepath.Join(w.alloc, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		w.own(filepath.Join(w.alloc, dir))
	}
	w.boot(w.policy())
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *world) own(path string) {
	w.t.Helper()
	if os.Getuid() != 0 {
		return
	}
	if err := os.Chown(path, int(clientUID()), -1); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) policy() *policy.Policy {
	w.t.Helper()
	text := strings.ReplaceAll(testPolicy, "ALLOC", w.alloc)
	p, err := policy.Load(fstest.MapFS{"p.hcl": {Data: []byte(text)}}, twoUsers{}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// boot starts a broker and connects a client; stop ends both.
func (w *world) boot(p *policy.Policy) {
	w.t.Helper()
	log := slog.New(slog.NewTextHandler(&w.log, nil))
	var err error
	w.server, err = New(w.t.Context(), Config{
		Policy: p, RuntimeDir: w.run, Log: log, Audit: &w.audit, Version: "1.2.3", Mounts: &w.mounts,
		Connect: func(ctx context.Context, watch func(string) bool) (Systemd, error) {
			return systemd.Dial(ctx, systemd.Options{PrivatePath: w.pid1.SocketPath(), BusPath: "/nonexistent", Logger: log, Watch: watch})
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if w.afterNew != nil {
		w.afterNew()
	}
	if w.cpus != nil {
		w.server.units.pool.online = w.cpus
	}
	w.server.units.pool.confined = func(string) ([]uint32, error) { return w.confined, nil }
	w.server.readPeer = func(c net.Conn) (policy.Peer, error) {
		p, err := readPeer(c)
		p.UID = clientUID()
		return p, err
	}
	dir := w.t.TempDir()
	w.socket, w.fds = filepath.Join(dir, "s"), filepath.Join(dir, "f")
	api, err := net.Listen("unix", w.socket)
	if err != nil {
		w.t.Fatal(err)
	}
	fds, err := net.Listen("unixpacket", w.fds)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- w.server.Serve(ctx, api) }()
	go func() { done <- w.server.ServeFDs(ctx, fds) }()
	conn, err := grpc.NewClient("unix:"+w.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.conn, w.client = conn, brokerv1.NewBrokerServiceClient(conn)
	w.stop = func() {
		_ = conn.Close()
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				w.t.Errorf("the server ended with %v", err)
			}
		}
		w.server.Close()
		w.stop = func() {}
	}
}

func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	w.t.Cleanup(cancel)
	return ctx
}

func (w *world) spec(id string) *brokerv1.UnitSpec {
	s := goodSpec()
	s.Id = id
	s.Directories = &brokerv1.Directories{
		Alloc:   filepath.Join(w.alloc, "x/alloc"),
		Local:   filepath.Join(w.alloc, "x/web/local"),
		Secrets: filepath.Join(w.alloc, "x/web/secrets"),
	}
	return s
}

func (w *world) start(id string) *brokerv1.Unit {
	w.t.Helper()
	resp, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: w.spec(id)})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetUnit()
}

// await returns the unit once the watch stream shows it in the state.
func (w *world) await(id string, state brokerv1.UnitState) *brokerv1.Unit {
	w.t.Helper()
	stream, err := w.client.WatchUnits(w.ctx(), &brokerv1.WatchUnitsRequest{})
	if err != nil {
		w.t.Fatal(err)
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			w.t.Fatalf("waiting for %s to be %v: %v", id, state, err)
		}
		if u := m.GetUnit(); u.GetId() == id && u.GetState() == state {
			return u
		}
	}
}

func wantCode(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), text) {
		t.Errorf("got %v, want %v with %q", err, code, text)
	}
}

func TestStartUnitRunsAProgramOnce(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	if u.GetState() != running || u.GetMainPid() == 0 || u.GetHandle().GetInvocationId() == "" {
		t.Errorf("got %v", u)
	}
	if again := w.start("a/1"); again.GetHandle().GetInvocationId() != u.GetHandle().GetInvocationId() {
		t.Error("the same request gave another unit")
	}
	if n := len(w.pid1.Calls("StartTransientUnit")); n != 1 {
		t.Errorf("PID 1 was asked %d times", n)
	}
	other := w.spec("a/1")
	other.Args = []string{"changed"}
	_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: other})
	wantCode(t, err, codes.AlreadyExists, "other content")
}

func TestStartUnitLeavesNoSecretBehind(t *testing.T) {
	w := newWorld(t)
	w.start("a/1")
	left, err := os.ReadDir(filepath.Join(w.run, "starts"))
	if err != nil || len(left) != 0 {
		t.Errorf("files are left: %v %v", left, err)
	}
	for _, c := range w.pid1.Calls("StartTransientUnit") {
		for _, p := range c.Args {
			if strings.Contains(stringOf(p), "A=b") {
				t.Error("the environment is a property of the unit, which every user can read")
			}
		}
	}
}

func stringOf(v any) string { return strings.Join(strings.Fields(slog.AnyValue(v).String()), " ") }

func TestStartUnitIsRefused(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		name   string
		change func(*brokerv1.UnitSpec)
		code   codes.Code
		text   string
	}{
		{"a command outside the policy", func(s *brokerv1.UnitSpec) { s.Command = "/usr/bin/id" }, codes.PermissionDenied, "/usr/bin/id"},
		{"a user outside the policy", func(s *brokerv1.UnitSpec) { s.User = "root" }, codes.PermissionDenied, "root"},
		{"a malformed request", func(s *brokerv1.UnitSpec) { s.Command = "x" }, codes.InvalidArgument, "command"},
		{"a directory that does not exist", func(s *brokerv1.UnitSpec) {
			s.Directories.Local = filepath.Join(w.alloc, "x/none/local")
			s.Directories.Secrets = filepath.Join(w.alloc, "x/none/secrets")
		}, codes.InvalidArgument, "none/local"},
		{"descriptors that were never handed over", func(s *brokerv1.UnitSpec) {
			s.Logging = &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_FDS, FdToken: strings.Repeat("a", 64)}
		}, codes.InvalidArgument, "fd_token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := w.spec("a/1")
			tt.change(s)
			_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: s})
			wantCode(t, err, tt.code, tt.text)
			if n := len(w.pid1.Calls("StartTransientUnit")); n != 0 {
				t.Errorf("PID 1 was asked %d times", n)
			}
		})
	}
}

func TestStartUnitRefusesADirectoryBehindASymlink(t *testing.T) {
	w := newWorld(t)
	local := filepath.Join(w.alloc, "x/web/local")
	for _, target := range []string{"/etc", "../../alloc", "secrets"} { // elsewhere, and the client's own
		if err := errors.Join(os.Remove(local), os.Symlink(target, local)); err != nil {
			t.Fatal(err)
		}
		_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: w.spec("a/1")})
		wantCode(t, err, codes.InvalidArgument, "symlink")
	}
}

func TestDenialReachesTheClientWithItsReason(t *testing.T) {
	w := newWorld(t)
	s := w.spec("a/1")
	s.User = "root"
	_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: s})
	for _, d := range status.Convert(err).Details() {
		if d, ok := d.(*brokerv1.Denial); ok && d.GetSubject() == "user" && d.GetValue() == "root" && d.GetReason() != "" && d.GetRequestId() != "" {
			return
		}
	}
	t.Errorf("no denial in %v", status.Convert(err).Details())
}

func TestCheckStartDecidesAndStartsNothing(t *testing.T) {
	w := newWorld(t)
	resp, err := w.client.CheckStart(w.ctx(), &brokerv1.CheckStartRequest{Spec: w.spec("a/1")})
	if err != nil || !resp.GetAllowed() || resp.GetRule() != "local" {
		t.Errorf("got %v, %v", resp, err)
	}
	s := w.spec("a/1")
	s.Command = "/usr/bin/id"
	resp, err = w.client.CheckStart(w.ctx(), &brokerv1.CheckStartRequest{Spec: s})
	if err != nil || resp.GetAllowed() || resp.GetDenial().GetSubject() != "command" {
		t.Errorf("got %v, %v", resp, err)
	}
	if n := len(w.pid1.Calls("StartTransientUnit")); n != 0 {
		t.Errorf("PID 1 was asked %d times", n)
	}
}

func TestFailedStartIsExplainedAndForgotten(t *testing.T) {
	w := newWorld(t)
	w.pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome {
		return fakepid1.Outcome{JobResult: "failed", ExitStatus: 203}
	})
	_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: w.spec("a/1")})
	wantCode(t, err, codes.FailedPrecondition, "/local/server")
	if n := len(w.pid1.Calls("ResetFailedUnit")); n != 1 {
		t.Errorf("the failed unit was cleared %d times", n)
	}
	w.pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{} })
	if u, err := w.client.ListUnits(w.ctx(), &brokerv1.ListUnitsRequest{}); err != nil || len(u.GetUnits()) != 0 {
		t.Errorf("the client sees %v, %v", u, err)
	}
}

func TestWatchUnitsTellsOfAnExit(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	w.pid1.Exit(u.GetHandle().GetUnit(), 7)
	if e := w.await("a/1", exited).GetExit(); e.GetCode() != 7 || e.GetSignal() != 0 {
		t.Errorf("got %v", e)
	}
}

func TestWatchUnitsTellsOfALoss(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	w.pid1.Remove(u.GetHandle().GetUnit())
	w.await("a/1", lost)
}

func TestUnitsSurviveTheBroker(t *testing.T) {
	w := newWorld(t)
	first, second := w.start("a/1"), w.start("a/2")
	w.stop()
	w.pid1.Exit(second.GetHandle().GetUnit(), 3)
	w.boot(w.policy())
	w.t.Cleanup(func() { w.stop() })
	u := w.await("a/1", running)
	if u.GetHandle().GetInvocationId() != first.GetHandle().GetInvocationId() || u.GetLabels()["NOMAD_ALLOC_ID"] == "" {
		t.Errorf("the new broker has %v", u)
	}
	if e := w.await("a/2", exited).GetExit(); e.GetCode() != 3 {
		t.Errorf("the exit while the broker was away became %v", e)
	}
	if again := w.start("a/1"); again.GetHandle().GetInvocationId() != first.GetHandle().GetInvocationId() {
		t.Error("a retry after the broker's restart started the program again")
	}
}

func TestWithoutAPolicyTasksCanBeStoppedAndNoneStarted(t *testing.T) {
	w := newWorld(t)
	w.pid1.Add("foreign-thing.service", nil)
	u := w.start("a/1")
	w.stop()
	w.boot(policy.DenyAll())
	w.t.Cleanup(func() { w.stop() })
	info, err := w.client.Info(w.ctx(), &brokerv1.InfoRequest{})
	if err != nil || !strings.Contains(info.GetUnhealthyReason(), "policy") {
		t.Errorf("got %v, %v", info, err)
	}
	_, err = w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: w.spec("a/2")})
	wantCode(t, err, codes.PermissionDenied, "policy")
	list, err := w.client.ListUnits(w.ctx(), &brokerv1.ListUnitsRequest{})
	if err != nil || len(list.GetUnits()) != 1 {
		t.Errorf("the client sees %v, %v", list.GetUnits(), err)
	}
	resp, err := w.client.StopUnit(w.ctx(), &brokerv1.StopUnitRequest{Handle: u.GetHandle(), GracePeriod: durationpb.New(10 * time.Second)})
	if err != nil || resp.GetUnit().GetState() != exited {
		t.Errorf("got %v, %v", resp, err)
	}
}

// TestPolicyThatCannotBePutInForceChangesNothing: what the log says of it is true.
func TestPolicyThatCannotBePutInForceChangesNothing(t *testing.T) {
	w := newWorld(t)
	before := w.policy()
	text := strings.ReplaceAll(strings.ReplaceAll(testPolicy, "ALLOC", w.alloc), "/local", "/alloc")
	p, err := policy.Load(fstest.MapFS{"p.hcl": {Data: []byte(text)}}, twoUsers{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.pid1.Refuse("ListUnitsByPatterns", "org.example.Failed", "no")
	if err := w.server.SetPolicy(w.ctx(), p); err == nil {
		t.Error("it was put in force")
	}
	info, err := w.client.Info(w.ctx(), &brokerv1.InfoRequest{})
	if err != nil || info.GetPolicySha256() != before.SHA256() {
		t.Errorf("got %v, %v, want the policy %s", info, err, before.SHA256())
	}
	w.start("a/1")
}

// TestANewBrokerReadsEachUnitOnce, and does not miss what happens to it afterwards.
func TestANewBrokerReadsEachUnitOnce(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	w.start("a/2")
	w.stop()
	before := len(w.pid1.Calls("GetAll"))
	w.afterNew = func() {
		if n := len(w.pid1.Calls("GetAll")) - before; n != 2 {
			t.Errorf("it read two units %d times", n)
		}
		w.pid1.Exit(u.GetHandle().GetUnit(), 3)
	}
	w.boot(w.policy())
	t.Cleanup(func() { w.stop() })
	if u := w.await("a/1", exited); u.GetExit().GetCode() != 3 {
		t.Errorf("it ended with %v", u.GetExit())
	}
}

func TestANewBrokerClearsOldStarts(t *testing.T) {
	w := newWorld(t)
	w.stop()
	old := filepath.Join(w.run, "starts", "nomad-x.service")
	if err := os.Mkdir(old, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old, "environment"), []byte("SECRET=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.boot(w.policy())
	w.t.Cleanup(func() { w.stop() })
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

func TestStopUnit(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	resp, err := w.client.StopUnit(w.ctx(), &brokerv1.StopUnitRequest{
		Handle: u.GetHandle(), Signal: uint32(unix.SIGINT), GracePeriod: durationpb.New(10 * time.Second),
	})
	if err != nil || resp.GetUnit().GetState() != exited || resp.GetUnit().GetExit().GetSignal() != int32(unix.SIGINT) {
		t.Errorf("got %v, %v", resp, err)
	}
}

func TestStopUnitKillsWhatIgnoresTheSignal(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	w.pid1.IgnoreSignal(u.GetHandle().GetUnit(), unix.SIGTERM)
	resp, err := w.client.StopUnit(w.ctx(), &brokerv1.StopUnitRequest{Handle: u.GetHandle(), GracePeriod: durationpb.New(10 * time.Millisecond)})
	if err != nil || resp.GetUnit().GetExit().GetSignal() != int32(unix.SIGKILL) {
		t.Errorf("got %v, %v", resp, err)
	}
}

// TestKillThatIsLostIsSentAgain is about a connection to PID 1 that breaks: one
// cannot know whether the signal was sent.
func TestKillThatIsLostIsSentAgain(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	w.pid1.Fail("KillUnit", fakepid1.DropBefore)
	resp, err := w.client.StopUnit(w.ctx(), &brokerv1.StopUnitRequest{Handle: u.GetHandle()})
	if err != nil || resp.GetUnit().GetExit().GetSignal() != int32(unix.SIGKILL) {
		t.Errorf("got %v, %v", resp, err)
	}
}

func TestSignalsThatThereAreNotAreRefused(t *testing.T) {
	w := newWorld(t)
	h := w.start("a/1").GetHandle()
	for _, signal := range []uint32{0, 65, 1 << 31, 1<<32 - 1} { // the last is -1
		_, err := w.client.SignalUnit(w.ctx(), &brokerv1.SignalUnitRequest{Handle: h, Signal: signal})
		wantCode(t, err, codes.InvalidArgument, "signal")
		if signal == 0 {
			continue // SIGTERM of a stop
		}
		_, err = w.client.StopUnit(w.ctx(), &brokerv1.StopUnitRequest{Handle: h, Signal: signal})
		wantCode(t, err, codes.InvalidArgument, "signal")
	}
	if calls := w.pid1.Calls("KillUnit"); len(calls) != 0 {
		t.Errorf("PID 1 was sent %v", calls)
	}
}

func TestStopAndRemoveOfAnUnknownUnitSucceed(t *testing.T) {
	w := newWorld(t)
	h := &brokerv1.Handle{Unit: "sshd.service", InvocationId: strings.Repeat("0", 32)}
	if _, err := w.client.StopUnit(w.ctx(), &brokerv1.StopUnitRequest{Handle: h}); err != nil {
		t.Error(err)
	}
	if _, err := w.client.RemoveUnit(w.ctx(), &brokerv1.RemoveUnitRequest{Handle: h}); err != nil {
		t.Error(err)
	}
	if _, err := w.client.SignalUnit(w.ctx(), &brokerv1.SignalUnitRequest{Handle: h, Signal: 9}); status.Code(err) != codes.NotFound {
		t.Errorf("signalling it gives %v", err)
	}
	for _, member := range []string{"KillUnit", "StopUnit", "ResetFailedUnit"} {
		if calls := w.pid1.Calls(member); len(calls) != 0 {
			t.Errorf("PID 1 was sent %v", calls)
		}
	}
}

func TestRemoveUnitLeavesNothing(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	if _, err := w.client.RemoveUnit(w.ctx(), &brokerv1.RemoveUnitRequest{Handle: u.GetHandle()}); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.pid1.Unit(u.GetHandle().GetUnit()); ok {
		t.Error("PID 1 has the unit still")
	}
	_, err := w.client.GetUnit(w.ctx(), &brokerv1.GetUnitRequest{Handle: u.GetHandle()})
	wantCode(t, err, codes.NotFound, "")
}

func TestStartUnitPassesHandedOverDescriptors(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	w.own(path)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd) //nolint:errcheck // a test's FIFO
	token := strings.Repeat("ab", 32)
	if got := w.handOver(token, fd, fd); got != "ok" {
		t.Fatalf("the broker answers %q", got)
	}
	s := w.spec("a/1")
	s.Logging = &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_FDS, FdToken: token}
	resp, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: s})
	if err != nil {
		t.Fatal(err)
	}
	u, ok := w.pid1.Unit(resp.GetUnit().GetHandle().GetUnit())
	if !ok || u.Files["StandardOutputFileDescriptor"] == nil || u.Files["StandardErrorFileDescriptor"] == nil {
		t.Error("PID 1 did not get the descriptors")
	}
}

func (w *world) handOver(token string, fds ...int) string {
	w.t.Helper()
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: w.fds, Net: "unixpacket"})
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	if _, _, err := conn.WriteMsgUnix([]byte(token), unix.UnixRights(fds...), nil); err != nil {
		w.t.Fatal(err)
	}
	answer := make([]byte, 512)
	n, err := conn.Read(answer)
	if err != nil {
		w.t.Fatal(err)
	}
	_, _ = conn.Read(make([]byte, 1)) // the end: the next one is not one too many
	return string(answer[:n])
}

func TestHandOverRefuses(t *testing.T) {
	w := newWorld(t)
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null) //nolint:errcheck // a test's device
	file, err := unix.Open(filepath.Join(t.TempDir(), "f"), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(file) //nolint:errcheck // a test's file
	token := strings.Repeat("a", 64)
	tests := []struct {
		name, token string
		fds         []int
	}{
		{"one descriptor", token, []int{null}},
		{"four descriptors", token, []int{null, null, null, null}},
		{"a file among three", token, []int{null, file, null}},
		{"a file", token, []int{null, file}},
		{"a short token", "a", []int{null, null}},
		{"a long token", token + "aaaaaaaaaaa", []int{null, null}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := openFDs(t)
			if got := w.handOver(tt.token, tt.fds...); got == "ok" {
				t.Error("accepted")
			}
			if after := openFDs(t); after > before+1 { // the listener's next connection may be open
				t.Errorf("%d descriptors were open before and %d are after", before, after)
			}
		})
	}
}

func openFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestQuotaOfUnits(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"a/1", "a/2", "a/3"} {
		w.start(id)
	}
	_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: w.spec("a/4")})
	wantCode(t, err, codes.ResourceExhausted, "max_units")
}

func TestInfo(t *testing.T) {
	w := newWorld(t)
	info, err := w.client.Info(w.ctx(), &brokerv1.InfoRequest{})
	if err != nil || info.GetVersion() != "1.2.3" || info.GetClient() != "nomad" || info.GetSystemdVersion() == "" || info.GetUnhealthyReason() != "" {
		t.Errorf("got %v, %v", info, err)
	}
}

func TestPathOfAMethodIsExact(t *testing.T) {
	w := newWorld(t)
	conn, err := grpc.NewClient("unix:"+w.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, method := range []string{"broker.v1.BrokerService/Info", "//broker.v1.BrokerService/Info", "/broker.v1.brokerservice/Info", "/broker.v1.BrokerService/info"} {
		err := conn.Invoke(w.ctx(), method, &brokerv1.InfoRequest{}, new(brokerv1.InfoResponse))
		wantCode(t, err, codes.Unimplemented, "")
	}
}

// TestFormerClientIsRefusedOnItsConnection, which was made when it was a client.
func TestFormerClientIsRefusedOnItsConnection(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	text := strings.NewReplacer("ALLOC", w.alloc, `user        = "nomad"`, `user        = "alice"`, `users        = ["alice"]`, "").Replace(testPolicy)
	p, err := policy.Load(fstest.MapFS{"p.hcl": {Data: []byte(text)}}, twoUsers{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.server.SetPolicy(w.ctx(), p); err != nil {
		t.Fatal(err)
	}
	_, err = w.client.Info(w.ctx(), &brokerv1.InfoRequest{})
	wantCode(t, err, codes.PermissionDenied, "names this user")
	_, err = w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: w.spec("a/2")})
	wantCode(t, err, codes.PermissionDenied, "names this user")
	_, err = w.client.StopUnit(w.ctx(), &brokerv1.StopUnitRequest{Handle: u.GetHandle()})
	wantCode(t, err, codes.PermissionDenied, "names this user")
}

// TestCallsThatLastLeaveRoomForOthers is about a drain: each stop is a call that
// lasts as long as the task takes, and all come over one connection.
func TestCallsThatLastLeaveRoomForOthers(t *testing.T) {
	w := newWorld(t)
	// One time for all: those that end make room, too.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 600 {
		stream, err := w.client.WatchUnits(ctx, &brokerv1.WatchUnitsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if m, err := stream.Recv(); err != nil || !m.GetSynced() {
			t.Fatalf("got %v, %v", m, err)
		}
	}
	if _, err := w.client.Info(w.ctx(), &brokerv1.InfoRequest{}); err != nil {
		t.Errorf("the next call is not answered: %v", err)
	}
}
