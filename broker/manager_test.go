// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"nomad-systemd-driver/broker/policy"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// newManagerWorld is a world where alice lingers and tasks may run in her manager.
func newManagerWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.stop()
	w.boot(w.managerPolicy())
	w.lingers(t.TempDir(), t.TempDir(), "alice")
	return w
}

func (w *world) managerPolicy() *policy.Policy {
	return w.stricter(`users        = ["alice"]`, `users = ["alice"]`+"\n"+`session_users = ["alice"]`, `["fds", "journal"]`, `["fds", "journal", "none"]`)
}

// lingers sets the directory of users who linger, and that of control groups.
func (w *world) lingers(dir, cgroups string, users ...string) {
	w.t.Helper()
	for _, u := range users {
		if err := os.WriteFile(filepath.Join(dir, u), nil, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	w.server.lingerDir, w.server.cgroups = dir, cgroups
}

func (w *world) managed(id string) *brokerv1.UnitSpec {
	s := w.spec(id)
	s.User, s.UserManager = "alice", true
	s.Logging = &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_NONE}
	return s
}

// populate makes the scope of a unit look as if processes were in it, or none.
func (w *world) populate(u *brokerv1.Unit, populated string) {
	w.t.Helper()
	dir := filepath.Join(w.server.cgroups, u.GetControlGroup())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.events"), []byte("populated "+populated+"\nfrozen 0\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// endings are the units that were started to end what is left in a scope.
func (w *world) endings() []string {
	var all []string
	for _, c := range w.pid1.Calls("StartTransientUnit") {
		if name, _ := c.Args[0].(string); strings.HasSuffix(name, "-end.service") {
			all = append(all, name)
		}
	}
	return all
}

func TestUnitInItsUsersManager(t *testing.T) {
	w := newManagerWorld(t)
	spec := w.managed("a/1")
	spec.Env = map[string]string{"XDG_RUNTIME_DIR": "/local", "A": "b"}
	env := decodeEnvironment(t, w.startedFrom(spec)["environment"])
	if env["XDG_RUNTIME_DIR"] != "/run/user/2001" || env["DBUS_SESSION_BUS_ADDRESS"] != "unix:path=/run/user/2001/bus" || env["A"] != "b" {
		t.Errorf("the environment is %v", env)
	}
	if spec.GetEnv()["XDG_RUNTIME_DIR"] != "/local" {
		t.Error("the request was changed")
	}
	u := w.await("a/1", running)
	name, _ := strings.CutSuffix(u.GetHandle().GetUnit(), ".service")
	want := "/user.slice/user-2001.slice/user@2001.service/app.slice/" + name + ".scope"
	if u.GetControlGroup() != want {
		t.Errorf("its control group is %s, want %s", u.GetControlGroup(), want)
	}
	started, _ := w.pid1.Unit(u.GetHandle().GetUnit())
	if wants, _ := started.Started["Wants"].([]string); !slices.Equal(wants, []string{"user@2001.service"}) {
		t.Errorf("it wants %v", wants)
	}
	w.stop()
	w.boot(w.policy())
	if after := w.await("a/1", running); after.GetControlGroup() != want {
		t.Errorf("the next broker says %s", after.GetControlGroup())
	}
}

func TestUsersManagerThatWouldEndIsRefused(t *testing.T) {
	w := newManagerWorld(t)
	w.lingers(t.TempDir(), t.TempDir(), "bob")
	_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: w.managed("a/1")})
	wantCode(t, err, codes.FailedPrecondition, "loginctl enable-linger alice")
	if n := len(w.pid1.Calls("StartTransientUnit")); n != 0 {
		t.Errorf("PID 1 was asked %d times", n)
	}
	if err := w.tryStart("a/2"); err != nil {
		t.Errorf("a unit that needs no manager is refused: %v", err)
	}
}

func TestUsersManagerIsNotForEverybody(t *testing.T) {
	w := newManagerWorld(t)
	w.stop()
	w.boot(w.policy())
	_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: w.managed("a/1")})
	wantCode(t, err, codes.PermissionDenied, "run_as.session_users")
}

func TestWhatAUsersManagerCannotDoIsMalformed(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*brokerv1.UnitSpec)
		want   string
	}{
		"an ephemeral user": {func(s *brokerv1.UnitSpec) { s.User = "" }, "needs user"},
		"an image": {func(s *brokerv1.UnitSpec) {
			s.Rootfs = &brokerv1.Rootfs{Kind: brokerv1.Rootfs_KIND_IMAGE, Image: "/srv/i"}
		}, "does not go with an image"},
		"the journal": {func(s *brokerv1.UnitSpec) { s.Logging.Driver = brokerv1.Logging_DRIVER_JOURNAL }, "does not go with the log driver"},
		"a device":    {func(s *brokerv1.UnitSpec) { s.Devices = []*brokerv1.Device{{Path: "/dev/null", Permissions: "r"}} }, "does not go with devices"},
		"cores":       {func(s *brokerv1.UnitSpec) { s.Resources.Cpus = []uint32{1} }, "does not go with cores"},
	} {
		t.Run(name, func(t *testing.T) {
			s := goodSpec()
			s.User, s.UserManager = "alice", true
			s.Logging = &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_NONE}
			if _, err := request(s, "NOMAD_"); err != nil {
				t.Fatal(err)
			}
			tt.change(s)
			if _, err := request(s, "NOMAD_"); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestWhatAProgramLeftInTheManagerIsKilled when it ends, and, if that did not succeed,
// when its unit is removed.
func TestWhatAProgramLeftInTheManagerIsKilled(t *testing.T) {
	w := newManagerWorld(t)
	resp, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: w.managed("a/1")})
	if err != nil {
		t.Fatal(err)
	}
	u := resp.GetUnit()
	unit := u.GetHandle().GetUnit()
	w.populate(u, "1")
	w.pid1.Exit(unit, 0)
	if err := w.pid1.AwaitCalls(w.ctx(), "StartTransientUnit", 2); err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSuffix(unit, ".service") + "-end.service"
	if all := w.endings(); !slices.Equal(all, []string{want}) {
		t.Fatalf("the units that end scopes are %q", all)
	}
	if e, _ := w.pid1.Unit(want); e.Started["User"] != "2001" {
		t.Errorf("it runs as %v", e.Started["User"])
	}
	w.pid1.Remove(want) // it has ended
	if _, err := w.client.RemoveUnit(w.ctx(), &brokerv1.RemoveUnitRequest{Handle: u.GetHandle()}); err != nil {
		t.Fatal(err)
	}
	if all := w.endings(); !slices.Equal(all, []string{want, want}) {
		t.Errorf("after its removal they are %q", all)
	}
}

// TestNothingIsAskedOfAnEmptyManager: most programs leave nothing.
func TestNothingIsAskedOfAnEmptyManager(t *testing.T) {
	w := newManagerWorld(t)
	resp, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: w.managed("a/1")})
	if err != nil {
		t.Fatal(err)
	}
	u := resp.GetUnit()
	w.populate(u, "0")
	w.pid1.Signal(u.GetHandle().GetUnit(), unix.SIGKILL)
	w.await("a/1", brokerv1.UnitState_UNIT_STATE_EXITED)
	if _, err := w.client.RemoveUnit(w.ctx(), &brokerv1.RemoveUnitRequest{Handle: u.GetHandle()}); err != nil {
		t.Fatal(err)
	}
	if all := w.endings(); len(all) != 0 {
		t.Errorf("there are %q", all)
	}
}
