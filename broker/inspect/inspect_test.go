// SPDX-License-Identifier: MPL-2.0

package inspect

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/broker/systemd/fakepid1"
	"nomad-systemd-driver/cgroup"
)

func dial(t *testing.T, pid1 *fakepid1.Server) *systemd.Conn {
	t.Helper()
	c, err := systemd.Dial(t.Context(), systemd.Options{PrivatePath: pid1.SocketPath(), BusPath: "/nonexistent"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// unitFields are the journal fields of a unit of the client nomad.
func unitFields(more ...string) [][]byte {
	all := [][]byte{}
	for _, f := range append([]string{
		"BROKER_CLIENT=nomad", "BROKER_CLIENT_UID=991", "BROKER_UNIT_ID=alloc/web/1", "BROKER_RULE=binaries",
		"BROKER_USER=-", "BROKER_REQUEST_SHA256=x", "NOMAD_JOB_ID=shop", "NOMAD_TASK_NAME=web",
	}, more...) {
		all = append(all, []byte(f))
	}
	return all
}

func TestUnitsAreThoseOfTheBrokersClients(t *testing.T) {
	pid1 := fakepid1.New(t)
	pid1.Add("nomad-web-1.service", map[string]any{
		"ActiveState": "active", "SubState": "running", "MainPID": uint32(42), "UID": uint32(61001),
		"ControlGroup": "/brokerd-nomad.slice/nomad-web-1.service", "LogExtraFields": unitFields(),
		"ExecMainStartTimestamp": uint64(1_700_000_000_000_000), "InvocationID": []byte("0123456789abcdef"),
	})
	pid1.Add("nomad-job-2.service", map[string]any{
		"ActiveState": "failed", "SubState": "failed", "Result": "oom-kill", "ExecMainCode": int32(2), "ExecMainStatus": int32(9),
		"LogExtraFields": unitFields(), "InvocationID": []byte("0123456789abcdef"),
	})
	pid1.Add("nomad-exec-3.service", map[string]any{
		"ActiveState": "active", "SubState": "running", "ControlGroup": "/gone",
		"LogExtraFields": unitFields("BROKER_SESSION_OF=nomad-web-1.service"), "InvocationID": []byte("0123456789abcdef"),
	})
	pid1.Add("nomad-agent.service", map[string]any{"ActiveState": "active", "SubState": "running"})

	groups := t.TempDir()
	dir := filepath.Join(groups, "brokerd-nomad.slice/nomad-web-1.service")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"cpu.stat": "usage_usec 2500000\n", "memory.current": "4096\n", "pids.current": "3\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Units(context.Background(), dial(t, pid1), cgroup.Root(groups))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 {
		t.Fatalf("got %d units, want the three of the client: %+v", len(got), got)
	}
	session, ended, web := got[0], got[1], got[2]
	if web.State != "running" || web.PID != 42 || *web.UID != 61001 || web.Labels["JOB_ID"] != "shop" || web.Rule != "binaries" ||
		!web.Started.Equal(time.Unix(1_700_000_000, 0)) {
		t.Errorf("got %+v", web)
	}
	if u := web.Usage; u == nil || *u.CPUSeconds != 2.5 || *u.MemoryBytes != 4096 || *u.Tasks != 3 {
		t.Errorf("got usage %+v", u)
	}
	if ended.State != "exited" || ended.Exit == nil || !ended.Exit.OOM || ended.Exit.Signal != 9 || ended.Usage != nil {
		t.Errorf("got %+v, exit %+v", ended, ended.Exit)
	}
	if session.SessionOf != "nomad-web-1.service" || session.Usage != nil {
		t.Errorf("got %+v, want a session whose group is gone", session)
	}
}

func TestReadDaemonReadsTheStateOfAService(t *testing.T) {
	pid1 := fakepid1.New(t)
	pid1.Add(Service, map[string]any{
		"ActiveState": "active", "StatusText": "Policy 0123 in force.", "MainPID": uint32(7), "NRestarts": uint32(2),
		"NeedDaemonReload": true, "UnitFileState": "enabled", "MemoryCurrent": uint64(1 << 20),
	})
	c := dial(t, pid1)
	got, err := ReadDaemon(t.Context(), c, Service)
	if err != nil {
		t.Fatal(err)
	}
	if got.Memory == nil || *got.Memory != 1<<20 {
		t.Errorf("got memory %v", got.Memory)
	}
	got.Memory = nil
	want := Daemon{Unit: Service, Loaded: true, State: "active", Text: "Policy 0123 in force.", PID: 7, Restarts: 2, Enabled: true, Stale: true}
	if *got != want {
		t.Errorf("got  %+v\nwant %+v", *got, want)
	}
	absent, err := ReadDaemon(t.Context(), c, "absent.service")
	if err != nil || absent.Loaded || absent.State != "inactive" {
		t.Errorf("got %+v, %v for a unit that is not there", absent, err)
	}
}
