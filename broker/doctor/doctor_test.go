// SPDX-License-Identifier: MPL-2.0

package doctor

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"nomad-systemd-driver/broker/inspect"
	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/broker/users"
)

// fakeSystemd answers from a table: unit -> property -> value.
type fakeSystemd struct {
	inspect.Systemd
	version, features string
	units             map[string]map[string]any
}

func (f *fakeSystemd) Version() string  { return f.version }
func (f *fakeSystemd) Features() string { return f.features }

func (f *fakeSystemd) Properties(_ context.Context, unit string, properties ...systemd.Property) (map[systemd.Property]any, error) {
	values := map[systemd.Property]any{{Interface: "Unit", Name: "LoadState"}: systemd.LoadNotFound}
	for _, p := range properties {
		if v, ok := f.units[unit][p.Name]; ok {
			values[p] = v
		}
	}
	return values, nil
}

const policyText = `
version = 1
client "nomad" {
  uid         = CLIENT
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 10
}
client "named" {
  user        = "agent"
  unit_prefix = "named"
  slice       = "brokerd-named.slice"
  alloc_root  = "/srv/other"
  max_units   = 10
}
`

// clientUID owns the directories: tests that run as root give them away, as root
// is never a client.
func clientUID() int {
	if uid := os.Getuid(); uid != 0 {
		return uid
	}
	return 991
}

// patient is a host on which everything is well.
func patient(t *testing.T) (*Host, *fakeSystemd) {
	t.Helper()
	root, err := os.MkdirTemp("", "doctor") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"sys/fs/cgroup/cgroup.controllers":               "cpuset cpu io memory pids",
		"proc/pressure/cpu":                              "some",
		"proc/77/status":                                 "Name:\tnomad\nUid:\t991\t991\t991\t991\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n",
		"usr/libexec/nomad/plugins/nomad-systemd-driver": "",
	} {
		write(t, filepath.Join(root, name), text)
	}
	chmod(t, root, driverPath, 0o755)
	for _, dir := range []string{"var/lib/nomad/alloc", "srv/other"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	chmod(t, root, "/var/lib/nomad", 0o700)
	chmod(t, root, "/srv/other", 0o700)
	chown(t, root, "/var/lib/nomad/alloc", clientUID())
	chown(t, root, "/srv/other", 990)
	for _, name := range []string{"broker.sock", "fds.sock", "mounts.sock"} {
		path := filepath.Join(root, "run/systemd-brokerd", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		chmod(t, root, "/run/systemd-brokerd/"+name, 0o660)
	}
	chmod(t, root, "/run/systemd-brokerd/mounts.sock", 0o600)
	gid := strconv.Itoa(os.Getgid())
	known, err := users.Parse([]byte("root:x:0:0::/:/bin/sh\nagent:x:990:"+gid+"::/:/bin/sh\n"), []byte("root:x:55:\nsocket:x:"+gid+":\ndocker:x:20:\n"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(policyText, "CLIENT", strconv.Itoa(clientUID()), 1)
	p, err := policy.Load(fstest.MapFS{"p.hcl": &fstest.MapFile{Data: []byte(text)}}, known, nil)
	if err != nil {
		t.Fatal(err)
	}
	up := map[string]any{"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "MainPID": uint32(77), "StatusText": "Policy x in force."}
	agent := map[string]any{
		"LoadState": "loaded", "ActiveState": "active", "MainPID": uint32(77), "User": "nomad", "NoNewPrivileges": true,
		"CapabilityBoundingSet": uint64(0), "AmbientCapabilities": uint64(0), "KillMode": "process", "PrivateTmp": false,
	}
	fake := &fakeSystemd{version: "257.7-1", features: "+SECCOMP +BPF_FRAMEWORK", units: map[string]map[string]any{
		inspect.Service: up, inspect.APISocket: up, inspect.FDSocket: up, agentUnit: agent,
		inspect.MountSocket: up, inspect.MountService: {"LoadState": "loaded", "ActiveState": "inactive"},
	}}
	h := &Host{Systemd: fake, Root: root, Kernel: "6.12.3-amd64", Policy: p, Users: known, InForce: "Policy x in force."}
	h.Mappable = func(dir string) (bool, string, error) {
		_, err := os.Stat(dir)
		return true, "ext4", err
	}
	return h, fake
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, root, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(filepath.Join(root, path), mode); err != nil {
		t.Fatal(err)
	}
}

// chown is only for tests that run as root: others own all that they make.
func chown(t *testing.T, root, path string, uid int) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	if err := os.Chown(filepath.Join(root, path), uid, -1); err != nil {
		t.Fatal(err)
	}
}

// with returns the unit's properties with one of them changed.
func (f *fakeSystemd) with(unit, property string, value any) {
	changed := map[string]any{property: value}
	for k, v := range f.units[unit] {
		if k != property {
			changed[k] = v
		}
	}
	f.units[unit] = changed
}

func TestOneThingWrongIsFound(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files to others")
	}
	tests := []struct {
		name   string
		harm   func(t *testing.T, h *Host, f *fakeSystemd)
		check  string
		result Result
		detail string
	}{
		{"nothing", func(*testing.T, *Host, *fakeSystemd) {}, "", Good, ""},
		{"an old systemd", func(_ *testing.T, _ *Host, f *fakeSystemd) { f.version = "249.11" }, "systemd", Bad, "older than 252"},
		{"an old kernel", func(_ *testing.T, h *Host, _ *fakeSystemd) { h.Kernel = "5.15.0" }, "kernel", Warning, "5.15"},
		{"cgroup v1", func(t *testing.T, h *Host, _ *fakeSystemd) {
			if err := os.Remove(h.path("/sys/fs/cgroup/cgroup.controllers")); err != nil {
				t.Fatal(err)
			}
		}, "control groups", Bad, "cgroup v2"},
		{"no memory controller", func(t *testing.T, h *Host, _ *fakeSystemd) {
			write(t, h.path("/sys/fs/cgroup/cgroup.controllers"), "cpuset cpu io pids")
		}, "control groups", Bad, "without the controllers memory"},
		{"no seccomp", func(_ *testing.T, _ *Host, f *fakeSystemd) { f.features = "-SECCOMP +BPF_FRAMEWORK" }, "seccomp", Bad, "without seccomp"},
		{"no BPF", func(_ *testing.T, _ *Host, f *fakeSystemd) { f.features = "+SECCOMP -BPF_FRAMEWORK" }, "bpf", Skipped, "BPF_FRAMEWORK"},
		{"a mistake in the policy", func(_ *testing.T, h *Host, _ *fakeSystemd) {
			h.Policy, h.PolicyError = nil, errors.New("p.hcl:3: nonsense")
		}, "policy", Bad, "p.hcl:3"},
		{"a policy without clients", func(_ *testing.T, h *Host, _ *fakeSystemd) { h.Policy = policy.DenyAll() }, "policy", Bad, "no client"},
		{"the package is not installed", func(_ *testing.T, _ *Host, f *fakeSystemd) { delete(f.units, inspect.APISocket) }, "api socket", Bad, "no unit"},
		{"a socket that is stopped", func(_ *testing.T, _ *Host, f *fakeSystemd) { f.with(inspect.FDSocket, "ActiveState", "inactive") }, "descriptor socket", Bad, "inactive"},
		{"a socket for all", func(t *testing.T, h *Host, _ *fakeSystemd) {
			chmod(t, h.Root, "/run/systemd-brokerd/broker.sock", 0o666)
		}, "api socket", Bad, "open to others"},
		{"a socket that is not started at boot", func(_ *testing.T, _ *Host, f *fakeSystemd) { f.with(inspect.APISocket, "UnitFileState", "disabled") }, "api socket", Warning, "at boot"},
		{"a mount socket that is stopped", func(_ *testing.T, _ *Host, f *fakeSystemd) { f.with(inspect.MountSocket, "ActiveState", "inactive") }, "mount socket", Bad, "inactive"},
		{"a mount socket for a group", func(t *testing.T, h *Host, _ *fakeSystemd) {
			chmod(t, h.Root, "/run/systemd-brokerd/mounts.sock", 0o660)
		}, "mount socket", Bad, "open to others"},
		{"no mount service", func(_ *testing.T, _ *Host, f *fakeSystemd) { delete(f.units, inspect.MountService) }, "mounts", Bad, "no unit"},
		{"a mount service that failed", func(_ *testing.T, _ *Host, f *fakeSystemd) { f.with(inspect.MountService, "ActiveState", "failed") }, "mounts", Bad, "no unit can be started"},
		{"a mount service that fails again and again", func(_ *testing.T, _ *Host, f *fakeSystemd) {
			f.with(inspect.MountService, "NRestarts", uint32(2))
			f.with(inspect.MountService, "ActiveState", "activating")
		}, "mounts", Bad, "no unit can be started"},
		{"a mount service that was stopped after it had failed", func(_ *testing.T, _ *Host, f *fakeSystemd) {
			f.with(inspect.MountService, "NRestarts", uint32(2))
		}, "mounts", Warning, "2 times"},
		{"a mount service that has failed before", func(_ *testing.T, _ *Host, f *fakeSystemd) {
			f.with(inspect.MountService, "NRestarts", uint32(2))
			f.with(inspect.MountService, "ActiveState", "active")
		}, "mounts", Warning, "2 times"},
		{"a broker that failed", func(_ *testing.T, _ *Host, f *fakeSystemd) { f.with(inspect.Service, "ActiveState", "failed") }, "broker", Bad, "failed"},
		{"a broker that fails again and again", func(_ *testing.T, _ *Host, f *fakeSystemd) { f.with(inspect.Service, "NRestarts", uint32(3)) }, "broker", Warning, "3 times"},
		{"a unit that changed on disk", func(_ *testing.T, _ *Host, f *fakeSystemd) { f.with(inspect.Service, "NeedDaemonReload", true) }, "broker", Warning, "changed on disk"},
		{"a policy that was not reloaded", func(_ *testing.T, h *Host, _ *fakeSystemd) { h.InForce = "Policy y in force." }, "policy in force", Warning, "another"},
		{"a client outside the socket's group", func(t *testing.T, h *Host, _ *fakeSystemd) {
			if err := os.Chown(h.path("/run/systemd-brokerd/broker.sock"), -1, 4321); err != nil {
				t.Fatal(err)
			}
		}, "clients", Bad, "cannot connect"},
		{"a client in group docker", func(t *testing.T, h *Host, _ *fakeSystemd) {
			var err error
			h.Users, err = users.Parse([]byte("agent:x:990:"+strconv.Itoa(os.Getgid())+"::/:\n"), []byte("docker:x:20:agent\n"))
			if err != nil {
				t.Fatal(err)
			}
		}, "clients", Bad, "group docker"},
		{"a data directory that is open to all", func(t *testing.T, h *Host, _ *fakeSystemd) {
			chmod(t, h.Root, "/var/lib/nomad", 0o755)
			chmod(t, h.Root, "/var/lib/nomad/alloc", 0o711)
		}, "alloc_root", Warning, "secrets"},
		{"an alloc_root of somebody else", func(t *testing.T, h *Host, _ *fakeSystemd) { chown(t, h.Root, "/srv/other", 5) }, "alloc_root", Bad, "belongs to uid 5"},
		{"an alloc_root through a symlink", func(t *testing.T, h *Host, _ *fakeSystemd) {
			if err := errors.Join(os.Remove(h.path("/srv/other")), os.Symlink("/var", h.path("/srv/other"))); err != nil {
				t.Fatal(err)
			}
		}, "alloc_root", Bad, "symlink"},
		{"an alloc_root that is not there yet", func(t *testing.T, h *Host, _ *fakeSystemd) {
			if err := errors.Join(os.Remove(h.path("/srv/other")), os.Chmod(h.path("/srv"), 0o700)); err != nil {
				t.Fatal(err)
			}
		}, "alloc_root", Good, ""},
		{"a file system that maps no ids", func(_ *testing.T, h *Host, _ *fakeSystemd) {
			h.Mappable = func(string) (bool, string, error) { return false, "nfs", nil }
		}, "id mapping", Warning, "is on nfs, which maps no ids"},
		{"an id mapping that cannot be tried", func(_ *testing.T, h *Host, _ *fakeSystemd) {
			h.Mappable = func(string) (bool, string, error) { return false, "", errors.New("operation not permitted") }
		}, "id mapping", Skipped, "not permitted"},
		{"an agent's unit for root", func(_ *testing.T, _ *Host, f *fakeSystemd) { f.with(agentUnit, "User", "") }, "agent's unit", Bad, "runs as root"},
		{"an agent's unit with capabilities", func(_ *testing.T, _ *Host, f *fakeSystemd) {
			f.with(agentUnit, "CapabilityBoundingSet", ^uint64(0))
		}, "agent's unit", Warning, "CapabilityBoundingSet"},
		{"an agent's unit with PrivateTmp", func(_ *testing.T, _ *Host, f *fakeSystemd) { f.with(agentUnit, "PrivateTmp", true) }, "agent's unit", Warning, "PrivateTmp"},
		{"an agent that is root", func(t *testing.T, h *Host, _ *fakeSystemd) {
			write(t, h.path("/proc/77/status"), "Uid:\t0\t0\t0\t0\n")
		}, "agent", Bad, "is root"},
		{"an agent with a capability", func(t *testing.T, h *Host, _ *fakeSystemd) {
			write(t, h.path("/proc/77/status"), "Uid:\t9\t9\t9\t9\nCapPrm:\t0000000000000001\n")
		}, "agent", Warning, "CapPrm"},
		{"no driver", func(t *testing.T, h *Host, _ *fakeSystemd) {
			if err := os.Remove(h.path(driverPath)); err != nil {
				t.Fatal(err)
			}
		}, "driver", Warning, "there is no"},
		{"a driver that others can change", func(t *testing.T, h *Host, _ *fakeSystemd) { chmod(t, h.Root, driverPath, 0o775) }, "driver", Bad, "by others"},
		{"a driver that is not executable", func(t *testing.T, h *Host, _ *fakeSystemd) { chmod(t, h.Root, driverPath, 0o644) }, "driver", Bad, "not executable"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, f := patient(t)
			test.harm(t, h, f)
			for _, got := range Examine(t.Context(), h) {
				switch {
				case got.Check == test.check:
					if got.Result != test.result || !strings.Contains(got.Detail, test.detail) {
						t.Errorf("got %+v, want %s with %q", got, test.result, test.detail)
					}
				case h.PolicyError == nil && got.Result != Good && got.Result != Skipped && !strings.Contains(got.Check, "policy"):
					t.Errorf("%s is fine, but: %+v", got.Check, got)
				}
				if (got.Result == Bad || got.Result == Warning) && got.Mend == "" {
					t.Errorf("%+v does not say how to mend it", got)
				}
			}
		})
	}
}

func TestWithoutSystemdThereStillAreFindings(t *testing.T) {
	h, _ := patient(t)
	h.Systemd = nil
	got := Examine(t.Context(), h)
	if len(got) != len(checks) || got[0].Result != Bad {
		t.Errorf("got %+v", got)
	}
}
