// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"nomad-systemd-driver/broker/mounts"
	"nomad-systemd-driver/broker/unit"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

func (w *world) tryVolume(id string, v *brokerv1.Volume) (*brokerv1.Unit, error) {
	w.t.Helper()
	spec := w.spec(id)
	spec.Volumes = []*brokerv1.Volume{v}
	resp, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: spec})
	return resp.GetUnit(), err
}

// TestUnitIsShownWhatWasStaged: PID 1 gets no path that a client can change.
func TestUnitIsShownWhatWasStaged(t *testing.T) {
	w := newWorld(t)
	u, err := w.tryVolume("a/1", &brokerv1.Volume{Source: "/usr/share", Destination: "/data", ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	name := u.GetHandle().GetUnit()
	var asked []mounts.Mount
	for _, m := range w.mounts.asked[name] {
		m.FD = 0 // closed by now
		asked = append(asked, m)
	}
	// By the name of its user, whose uid nobody has here.
	uid := unit.DynamicUID(unit.DynamicUserName("nomad", "a/1", 0))
	to := &mounts.User{UID: uid, GID: uid}
	want := []mounts.Mount{
		{Root: w.alloc, Path: "x/alloc", SameMount: true, Map: to},
		{Root: w.alloc, Path: "x/web/local", SameMount: true, Map: to},
		{Root: w.alloc, Path: "x/web/secrets", SameMount: true, Map: to},
		{Root: "/", Path: "usr/share", ReadOnly: true},
	}
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("mounts for %+v were asked for, want %+v", asked, want)
	}
	if w.mounts.staged[name] {
		t.Error("after its start its mounts are still there")
	}
	fake, _ := w.pid1.Unit(name)
	own := filepath.Join(w.run, "roots", name)
	if fake.Started["RootDirectory"] != own {
		t.Errorf("its root is %v, want its own, %s", fake.Started["RootDirectory"], own)
	}
	// PID 1 makes mount points in it.
	if err := os.Mkdir(filepath.Join(own, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.RemoveUnit(w.ctx(), &brokerv1.RemoveUnitRequest{Handle: u.GetHandle()}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(own); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its root is still there: %v", err)
	}
}

func TestVolumesThatCannotBe(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		name   string
		volume *brokerv1.Volume
		code   codes.Code
		want   string
	}{
		{"not allowed", &brokerv1.Volume{Source: "/srv", Destination: "/data"}, codes.PermissionDenied, "volumes.read_write"},
		{"not there", &brokerv1.Volume{Source: "/usr/share/nosuch", Destination: "/data", ReadOnly: true}, codes.InvalidArgument, "cannot be opened"},
		{"no clean path", &brokerv1.Volume{Source: "/usr/share/../lib", Destination: "/data", ReadOnly: true}, codes.InvalidArgument, "volumes[0].source"},
		{"no destination", &brokerv1.Volume{Source: "/usr/share", ReadOnly: true}, codes.InvalidArgument, "volumes[0].destination"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := w.tryVolume("a/1", tt.volume)
			wantCode(t, err, tt.code, tt.want)
		})
	}
	if n := len(w.pid1.Calls("StartTransientUnit")); n != 0 {
		t.Errorf("PID 1 was asked for %d units", n)
	}
	if entries, err := os.ReadDir(filepath.Join(w.run, "roots")); err != nil || len(entries) != 0 {
		t.Errorf("roots are left: %v, %v", entries, err)
	}
}

// TestStartUnitRefusesWhatIsNoDirectory, and waits for nobody at the other end of a FIFO.
func TestStartUnitRefusesWhatIsNoDirectory(t *testing.T) {
	w := newWorld(t)
	local := w.spec("a/1").GetDirectories().GetLocal()
	for name, make := range map[string]func() error{
		"a file":   func() error { return os.WriteFile(local, nil, 0o644) },
		"a FIFO":   func() error { return unix.Mkfifo(local, 0o644) },
		"a socket": func() error { return unix.Mknod(local, unix.S_IFSOCK|0o644, 0) },
	} {
		if err := errors.Join(os.RemoveAll(local), make()); err != nil {
			t.Fatal(err)
		}
		w.own(local)
		_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: w.spec("a/1")})
		t.Log(name)
		wantCode(t, err, codes.InvalidArgument, "directory")
	}
	if n := len(w.pid1.Calls("StartTransientUnit")); n != 0 {
		t.Errorf("PID 1 was asked for %d units", n)
	}
}

// TestReadOnlySourceIsAMistakeOfTheJob, which no second try mends.
func TestReadOnlySourceIsAMistakeOfTheJob(t *testing.T) {
	w := newWorld(t)
	w.mounts.fail = fmt.Errorf("cannot prepare: %w", &mounts.ReadOnlyError{N: 3})
	_, err := w.tryVolume("a/1", &brokerv1.Volume{Source: "/usr/share", Destination: "/data", ReadOnly: true})
	wantCode(t, err, codes.InvalidArgument, "/usr/share is on a file system that is mounted read-only")
}

// TestDeviceOfAnotherKindIsAMistakeOfTheJob, and one that cannot be looked at is not.
func TestDeviceOfAnotherKindIsAMistakeOfTheJob(t *testing.T) {
	w := newWorld(t)
	try := func() error {
		spec := w.spec("a/1")
		spec.Devices = []*brokerv1.Device{{Path: "/dev/fuse", Permissions: "rw"}}
		_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: spec})
		return err
	}
	w.mounts.fail = fmt.Errorf("cannot look: %w", &mounts.DeviceError{Path: "/dev/fuse", Problem: "is not a device"})
	wantCode(t, try(), codes.InvalidArgument, `"/dev/fuse" is not a device`)
	w.mounts.fail = errors.New("cannot reach it")
	wantCode(t, try(), codes.Unavailable, "cannot reach it")
	w.mounts.fail = nil
	if err := try(); err != nil {
		t.Error(err)
	}
}

func TestStartWithoutMountsCanBeTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.mounts.fail = errors.New("cannot reach it")
	wantCode(t, w.tryStart("a/1"), codes.Unavailable, "cannot reach it")
	w.mounts.fail = nil
	if err := w.tryStart("a/1"); err != nil {
		t.Errorf("the same start later: %v", err)
	}
}

// TestNextBrokerTakesBackWhatItsLastLeft: it may have died in any start.
func TestNextBrokerTakesBackWhatItsLastLeft(t *testing.T) {
	w := newWorld(t)
	u, err := w.tryVolume("a/1", &brokerv1.Volume{Source: "/usr/share", Destination: "/data", ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	name := u.GetHandle().GetUnit()
	gone := filepath.Join(w.run, "roots", "nomad-gone-0123456789abcdef.service")
	if err := os.Mkdir(gone, 0o755); err != nil {
		t.Fatal(err)
	}
	w.mounts.staged[name], w.mounts.staged[filepath.Base(gone)] = true, true
	w.stop()
	w.boot(w.policy())
	if staged, _ := w.mounts.Staged(); len(staged) != 0 {
		t.Errorf("mounts are left: %v", staged)
	}
	if _, err := os.Stat(gone); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the root of a unit that is gone is left: %v", err)
	}
	if _, err := os.Stat(filepath.Join(w.run, "roots", name)); err != nil {
		t.Errorf("the root of a unit that runs is gone: %v", err)
	}
}

// TestMountsThatStayAreTakenBackWithTheUnit: the process that mounts may die while it
// takes back those of a start.
func TestMountsThatStayAreTakenBackWithTheUnit(t *testing.T) {
	for stuck, atStart := range []int{0, 0, 1, 1} { // it is asked twice
		w := newWorld(t)
		w.mounts.stuck = stuck
		u := w.start("a/1")
		if staged, _ := w.mounts.Staged(); len(staged) != atStart {
			t.Errorf("after %d failures and the start there are mounts of %q", stuck, staged)
		}
		w.mounts.mu.Lock()
		w.mounts.stuck = 0
		w.mounts.mu.Unlock()
		if _, err := w.client.RemoveUnit(w.ctx(), &brokerv1.RemoveUnitRequest{Handle: u.GetHandle()}); err != nil {
			t.Fatal(err)
		}
		if staged, _ := w.mounts.Staged(); len(staged) != 0 {
			t.Errorf("after %d failures and the removal there are mounts of %q", stuck, staged)
		}
	}
}
