// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// TestDirectoryCannotBeExchanged: while tasks are started, the client exchanges their
// directory for a symlink to one of root's that no other user can reach. No task
// ever sees that.
func TestDirectoryCannotBeExchanged(t *testing.T) {
	nomad, group := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad")
	// Readable by all, in a directory that only root can enter.
	const secret = "/root/e2e-race"
	const rounds = 60
	if err := os.MkdirAll(secret, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(secret) })
	if err := os.WriteFile(secret+"/canary", []byte("root's"), 0o644); err != nil {
		t.Fatal(err)
	}
	dirs := raceDirectories(t, nomad, group)
	if err := os.Symlink(secret, dirs.GetLocal()+".other"); err != nil {
		t.Fatal(err)
	}
	api := brokerAs(t, nomad, group)
	// Nobody exchanges anything: the test can tell the two apart.
	if got := catCanary(t, api, dirs); got != 1 {
		t.Fatalf("cat of a file that is not there exits with %d", got)
	}
	var exchanges atomic.Int64
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with it
		err := become(nomad, group)
		for err == nil {
			err = unix.Renameat2(unix.AT_FDCWD, dirs.GetLocal(), unix.AT_FDCWD, dirs.GetLocal()+".other", unix.RENAME_EXCHANGE)
			exchanges.Add(1)
			select {
			case <-stop:
				done <- err
				return
			default:
			}
		}
		done <- err
	}()
	started, refused := 0, 0
	for range rounds {
		switch got := catCanary(t, api, dirs); got {
		case 0:
			t.Error("a task has read a file of root's")
		case -1:
			refused++
		default:
			started++
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Errorf("the client cannot exchange its directory, so that this test shows nothing: %v", err)
	}
	t.Logf("FIGURE race/exchanges %d times", exchanges.Load())
	t.Logf("FIGURE race/starts %d times", started)
	t.Logf("FIGURE race/refusals %d times", refused)
	if started == 0 || refused == 0 {
		t.Error("the race was never near: there are no starts, or no refusals")
	}
}

func raceDirectories(t *testing.T, uid, gid int) *brokerv1.Directories {
	t.Helper()
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	alloc := filepath.Join("/var/lib/nomad/alloc", fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
	t.Cleanup(func() { _ = os.RemoveAll(alloc) })
	d := &brokerv1.Directories{
		Alloc: filepath.Join(alloc, "alloc"), Local: filepath.Join(alloc, "task/local"), Secrets: filepath.Join(alloc, "task/secrets"),
	}
	for _, dir := range []string{alloc, d.GetAlloc(), filepath.Dir(d.GetLocal()), d.GetLocal(), d.GetSecrets()} {
		if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o755), os.Chown(dir, uid, gid)); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// brokerAs is a client of the broker with the credentials of a user: the kernel
// takes them from the thread that connects.
func brokerAs(t *testing.T, uid, gid int) brokerv1.BrokerServiceClient {
	t.Helper()
	api, closed, err := dialBroker(uid, gid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closed)
	return api
}

func dialBroker(uid, gid int) (_ brokerv1.BrokerServiceClient, closed func(), _ error) {
	conn, err := grpc.NewClient("unix:"+apiSocket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return connectAs(uid, gid, "unix", apiSocket) }))
	return brokerv1.NewBrokerServiceClient(conn), func() { _ = conn.Close() }, err
}

// connectAs connects with the credentials of a user.
func connectAs(uid, gid int, network, path string) (*net.UnixConn, error) {
	type result struct {
		conn *net.UnixConn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with it
		err := become(uid, gid)
		var conn *net.UnixConn
		if err == nil {
			conn, err = net.DialUnix(network, nil, &net.UnixAddr{Name: path, Net: network})
		}
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

// catCanary is the exit code of a task that reads the file; -1 if it is not started.
func catCanary(t *testing.T, api brokerv1.BrokerServiceClient, dirs *brokerv1.Directories) int {
	t.Helper()
	return exitOf(t, api, catsCanary(dirs))
}

func catsCanary(dirs *brokerv1.Directories) *brokerv1.UnitSpec {
	return &brokerv1.UnitSpec{
		Id: rand.Text(), Name: []string{"race"}, Command: hello, Args: []string{"cat", "/local/canary"},
		Directories: dirs, WorkingDirectory: "/", Resources: &brokerv1.Resources{MemoryMaxBytes: 64 << 20},
		Logging: &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_NONE},
	}
}

// exitOf is the exit code of a unit, of which nothing is left; -1 if it is not started.
func exitOf(t *testing.T, api brokerv1.BrokerServiceClient, spec *brokerv1.UnitSpec) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	u := startedOr(ctx, t, api, spec)
	if u == nil {
		return -1
	}
	defer func() {
		if _, err := api.RemoveUnit(ctx, &brokerv1.RemoveUnitRequest{Handle: u.GetHandle()}); err != nil {
			t.Error(err)
		}
	}()
	return awaitExit(ctx, t, api, u)
}

// startedOr is the unit, or nil if what it names is refused.
func startedOr(ctx context.Context, t *testing.T, api brokerv1.BrokerServiceClient, spec *brokerv1.UnitSpec) *brokerv1.Unit {
	t.Helper()
	resp, err := api.StartUnit(ctx, &brokerv1.StartUnitRequest{Spec: spec})
	if !refuses(t, err) {
		return resp.GetUnit()
	}
	return nil
}

// refuses is whether err is about what is at the paths of a request.
func refuses(t *testing.T, err error) bool {
	t.Helper()
	switch status.Code(err) {
	case codes.OK:
		return false
	case codes.InvalidArgument, codes.FailedPrecondition, codes.Unavailable:
		return true
	}
	t.Fatal(err)
	return true
}

func awaitExit(ctx context.Context, t *testing.T, api brokerv1.BrokerServiceClient, u *brokerv1.Unit) int {
	t.Helper()
	stream, err := api.WatchUnits(ctx, &brokerv1.WatchUnitsRequest{})
	for err == nil {
		var m *brokerv1.WatchUnitsResponse
		if m, err = stream.Recv(); err == nil && m.GetUnit().GetId() == u.GetId() && m.GetUnit().GetExit() != nil {
			return int(m.GetUnit().GetExit().GetCode())
		}
	}
	t.Fatalf("the task has not ended after %s: %v", patience, err)
	return 0
}
