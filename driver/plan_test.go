// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"strings"
	"testing"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// aJob is of the form that "nomad job run -output" prints.
const aJob = `{"Job": {"ID": "shop", "Name": "shop", "Namespace": "prod", "TaskGroups": [{"Name": "front", "Tasks": [
	{"Name": "web", "Driver": "systemd", "User": "www-data", "Env": {"MODE": "a${b"},
	 "Config": {"command": "/usr/sbin/nginx", "args": ["-p", "${NOMAD_TASK_DIR}/x", "${NOMAD_PORT_http}", "%{x", "$${y}", "${env.MODE}"],
	            "logging": [{"driver": "journald"}], "network": "none", "nice": 5},
	 "Identities": [{"Name": "vault", "Env": true}, {"Name": "systemd-brokerd", "Audience": ["systemd-brokerd"], "File": true, "TTL": 3600000000000}],
	 "Resources": {"CPU": 500, "Cores": null, "MemoryMB": 128, "MemoryMaxMB": 256}},
	{"Name": "other", "Driver": "exec", "Config": {"command": "/bin/x"}},
	{"Name": "own", "Driver": "systemd", "Config": {"command": "local/run"}, "Resources": {"Cores": 2}, "Identities": [{"Name": "systemd-brokerd", "File": true, "Filepath": "local/x"}]}
]}]}}`

func TestPlan(t *testing.T) {
	all, err := Plan(strings.NewReader(aJob), Agent{AllocDir: "/srv/alloc", Identity: defaultIdentity})
	if err != nil || len(all) != 2 {
		t.Fatalf("got %d requests, %v", len(all), err)
	}
	web, own := all[0], all[1]
	if web.GetCommand() != "/usr/sbin/nginx" || web.GetUser() != "www-data" || own.GetCommand() != "/local/run" {
		t.Errorf("got %v and %v", web, own)
	}
	want := "-p|/local/x|${NOMAD_PORT_http}|%{x|${y}|a${b"
	if got := strings.Join(web.GetArgs(), "|"); got != want {
		t.Errorf("the arguments are %s, want %s", got, want)
	}
	if got := web.GetLabels(); got["NOMAD_NAMESPACE"] != "prod" || got["NOMAD_GROUP_NAME"] != "front" || got["NOMAD_TASK_NAME"] != "web" {
		t.Errorf("the labels are %v", got)
	}
	if got := web.GetDirectories().GetLocal(); got != "/srv/alloc/"+plannedAlloc+"/web/local" {
		t.Errorf("local/ is %s", got)
	}
	if web.GetIdentityToken() != `planned:{"aud":["systemd-brokerd"],"exp":true}` || own.GetIdentityToken() != "" {
		t.Errorf("the tokens are %q and %q", web.GetIdentityToken(), own.GetIdentityToken())
	}
	if web.GetLogging().GetDriver() != brokerv1.Logging_DRIVER_JOURNAL || len(web.GetDirectives()) != 2 {
		t.Errorf("got %v", web)
	}
	if r := web.GetResources(); r.GetMemoryMaxBytes() != 256<<20 || r.GetCpuWeight() != cpuWeight(500) {
		t.Errorf("the resources are %v", r)
	}
	if r := own.GetResources(); r.GetMemoryMaxBytes() != defaultMemoryMB<<20 || len(r.GetCpus()) != 2 {
		t.Errorf("the resources are %v", r)
	}
}

func TestPlannedTokenOfTheDefaultIdentity(t *testing.T) {
	task := plannedTask{Identity: &plannedIdentity{Name: "default", Env: true}}
	if got, err := task.plannedToken("default"); err != nil || got != `planned:{"aud":["nomadproject.io"],"exp":false}` {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := task.plannedToken("systemd-brokerd"); err != nil || got != "" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestPlanTakesAJobWithoutItsEnvelope(t *testing.T) {
	bare := strings.TrimSuffix(strings.TrimPrefix(aJob, `{"Job": `), "}")
	if all, err := Plan(strings.NewReader(bare), Agent{AllocDir: "/a"}); err != nil || len(all) != 2 {
		t.Errorf("got %v, %v", all, err)
	}
}

func TestPlanRefuses(t *testing.T) {
	for name, row := range map[string]struct{ job, want string }{
		"a job file":         {`job "x" {}`, "nomad job run -output"},
		"something else":     {`{"a": 1}`, "this is no job"},
		"no task of ours":    {`{"ID": "x", "TaskGroups": [{"Tasks": [{"Driver": "exec"}]}]}`, "no task with driver"},
		"a key that is none": {`{"ID": "x", "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Driver": "systemd", "Config": {"comand": "x"}}]}]}`, `group "g", task "t": config: `},
	} {
		if _, err := Plan(strings.NewReader(row.job), Agent{AllocDir: "/a"}); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want %q", name, err, row.want)
		}
	}
}

func FuzzPlan(f *testing.F) {
	f.Add([]byte(aJob))
	f.Fuzz(func(t *testing.T, job []byte) {
		all, err := Plan(strings.NewReader(string(job)), Agent{AllocDir: "/srv/alloc", Identity: defaultIdentity})
		if err == nil && len(all) == 0 {
			t.Error("neither requests nor an error")
		}
	})
}
