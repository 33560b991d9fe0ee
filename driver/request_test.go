// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/helper/pluginutils/hclutils"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/drivers"
	"google.golang.org/protobuf/encoding/protojson"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestUnitSpec compares the request that a task becomes with testdata/*.json.
// Run with -update to write the files anew.
func TestUnitSpec(t *testing.T) {
	tests := []struct {
		name, config string
		edit         func(*drivers.TaskConfig)
	}{
		{"plain", `command = "/usr/bin/env"`, nil},
		{"full", `
			command = "bin/server"
			args    = ["--port", "$${PORT}", "a b", ""]
			signal_target = "all"
			group         = "media"
			session       = "user"
			supplementary_groups = ["audio", "video"]
			credential "key" { source = "secrets/key.pem" }
			credential "token" { content = "t0ken" }
			logging {
				driver              = "journald"
				rate_limit_burst    = 1000
				rate_limit_interval = "30s"
			}`, func(c *drivers.TaskConfig) {
			c.User = "alice"
			c.Resources.NomadResources.Memory.MemoryMaxMB = 256
			c.Resources.LinuxResources.CpusetCpus = "1-2,5"
			c.DeviceEnv = map[string]string{"CARD": "0", "PORT": "overridden"}
		}},
		{"sandbox", `
			command = "/usr/bin/env"
			profile = "strict"
			systemd {
				ProtectHostname  = ["yes"]
				RestrictFileSystems = ["ext4", "tmpfs"]
			}
			cpu_hard_limit   = true
			cpu_weight       = 500
			memory_high      = "60M"
			memory_swap_max  = "0"
			tasks_max        = 64
			oom_policy       = "stop"
			oom_score_adjust = 100
			nice             = 5
			cpu_scheduling   = "batch"
			io_scheduling    = "idle"
			umask            = "0077"
			workdir          = "/alloc"
			syscall_filter   = ["~@debug", "~kexec_load"]
			network          = "none"
			restrict_ports   = true
			ip_deny          = ["any"]
			ip_allow         = ["localhost", "10.0.0.0/8"]
			no_new_privileges = true
			io {
				weight         = 50
				read_bandwidth = ["/dev/vda 10M", "/dev/vdb 1M"]
				write_iops     = ["/dev/vda 100"]
			}
			numa {
				policy = "bind"
				nodes  = "0"
			}
			ulimit {
				nofile = "1024:4096"
				core   = "0"
			}
			capabilities {
				add  = ["net_bind_service"]
				drop = ["CAP_KILL"]
			}`, func(c *drivers.TaskConfig) {
			c.Resources.LinuxResources.PercentTicks = 0.5 / float64(runtime.NumCPU())
			c.Resources.Ports = &structs.AllocatedPorts{{Label: "http", Value: 8080}, {Label: "db", Value: 21000, To: 5432}}
		}},
		{"names that do not fit", `command = "/usr/bin/env"`, func(c *drivers.TaskConfig) {
			c.Name = strings.Repeat("ä", 100)
			c.JobName = "a\nb\\c"
			c.Env = map[string]string{"NOMAD_ADDR_web-1": "1.2.3.4", "EMPTY": "", "MULTI": "a\nb"}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newTaskConfig(t, parse(t, tt.config))
			dir := c.AllocDir
			if err := os.MkdirAll(filepath.Join(dir, c.Name, "local", "bin"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, c.Name, "local", "bin", "server"), nil, 0o700); err != nil {
				t.Fatal(err)
			}
			if tt.edit != nil {
				tt.edit(c)
			}
			spec, err := unitSpec(c)
			if err != nil {
				t.Fatal(err)
			}
			text, err := protojson.Marshal(spec)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, bytes.ReplaceAll(text, []byte(dir), []byte("/ALLOC")), "", "  "); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", strings.ReplaceAll(tt.name, " ", "-")+".json")
			if *update {
				if err := os.WriteFile(golden, append(got.Bytes(), '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String()+"\n" != string(want) {
				t.Errorf("the request changed; got:\n%s\nwant:\n%s", got.String(), want)
			}
		})
	}
}

// parse reads a config block as Nomad does.
func parse(t *testing.T, text string) TaskConfig {
	t.Helper()
	var tc TaskConfig
	hclutils.NewConfigParser(taskConfigSpec).ParseHCL(t, "config {\n"+text+"\n}", &tc)
	return tc
}

// TestKeysOfTheEarlierDriver guards that jobs written for nomad-driver-systemd
// keep working.
func TestKeysOfTheEarlierDriver(t *testing.T) {
	tc := parse(t, `
		command = "/usr/bin/env"
		args    = ["-u", "HOME"]
		logging {
			driver = "journald"
		}`)
	if tc.Command != "/usr/bin/env" || len(tc.Args) != 2 || tc.Logging.Driver != "journald" {
		t.Errorf("got %+v", tc)
	}
}

func TestUnitSpecRefuses(t *testing.T) {
	env := func(key, value string) func(*drivers.TaskConfig) {
		return func(c *drivers.TaskConfig) { c.Env = map[string]string{key: value} }
	}
	tests := []struct {
		name, config string
		edit         func(*drivers.TaskConfig)
		want         string
	}{
		{"no command", ``, nil, "command is missing"},
		{"another log driver", `command = "/bin/a"
			logging { driver = "syslog" }`, nil, `logging.driver: "syslog" is not "nomad", "journald" or "none"`},
		{"a limit of lines for Nomad's log", `command = "/bin/a"
			logging { rate_limit_burst = 5 }`, nil, `set driver = "journald"`},
		{"half a limit of lines", `command = "/bin/a"
			logging {
				driver           = "journald"
				rate_limit_burst = 5
			}`, nil, "takes both"},
		{"another signal target", `command = "/bin/a"
			signal_target = "some"`, nil, `signal_target: "some" is not "main" or "all"`},
		{"a name that systemd drops", `command = "/bin/a"`, env("a-b", "1"), `env: "a-b" is not a name systemd takes`},
		{"a control character", `command = "/bin/a"`, env("A", "x\x07"), `env: the value of A holds the control character '\a'`},
		{"bytes that are not text", `command = "/bin/a"`, env("A", "\xff"), "env: the value of A is not valid UTF-8"},
		{"a directive twice", `command = "/bin/a"
			nice = 5
			systemd { Nice = ["5"] }`, nil, "Nice is what nice sets as well"},
		{"another network", `command = "/bin/a"
			network = "bridge"`, nil, `network: "bridge" is not "host", "none" or the path`},
		{"privileges", `command = "/bin/a"
			no_new_privileges = false`, nil, "cannot be turned off"},
		{"cores", `command = "/bin/a"`, func(c *drivers.TaskConfig) { c.Resources.LinuxResources.CpusetCpus = "x" }, `cores "x"`},
		{"no resources", `command = "/bin/a"`, func(c *drivers.TaskConfig) { c.Resources = nil }, "no resources"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newTaskConfig(t, parse(t, tt.config))
			if tt.edit != nil {
				tt.edit(c)
			}
			if _, err := unitSpec(c); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestSystemdIsReadInAllItsForms: as an attribute, a block and in JSON.
func TestSystemdIsReadInAllItsForms(t *testing.T) {
	want := map[string][]string{"ProtectHostname": {"yes"}, "SystemCallFilter": {"@system-service", "~@privileged"}}
	for name, text := range map[string]string{
		"attribute": `systemd = { ProtectHostname = ["yes"], SystemCallFilter = ["@system-service", "~@privileged"] }`,
		"block": `systemd {
			ProtectHostname  = ["yes"]
			SystemCallFilter = ["@system-service", "~@privileged"]
		}`,
	} {
		if tc := parse(t, text); !reflect.DeepEqual(tc.Systemd, want) {
			t.Errorf("as %s: got %v", name, tc.Systemd)
		}
	}
	var tc TaskConfig
	hclutils.NewConfigParser(taskConfigSpec).ParseJson(t,
		`{"Config": {"systemd": {"ProtectHostname": ["yes"], "SystemCallFilter": ["@system-service", "~@privileged"]}}}`, &tc)
	if !reflect.DeepEqual(tc.Systemd, want) {
		t.Errorf("as JSON: got %v", tc.Systemd)
	}
}

// TestRefusalNamesTheKeyOfTheJob: an author knows keys, not the directives that the
// driver makes of them.
func TestRefusalNamesTheKeyOfTheJob(t *testing.T) {
	c := newTaskConfig(t, parse(t, `
		command = "/bin/a"
		umask   = "99"
		ulimit { nofile = "x" }
		systemd { ProtectHostnme = ["yes"] }`))
	tests := []struct{ refusal, want string }{
		{`directives: UMask: "99" is not an octal number`, "; it comes from umask in the task's config block"},
		{`directives: LimitNOFILE: "x" is no limit`, "; it comes from ulimit.nofile in the task's config block"},
		{`directive "ProtectHostnme=yes" is refused`, "; it comes from systemd.ProtectHostnme in the task's config block"},
		{"directives: UMask must not be empty", "; it comes from umask in the task's config block"},
		{`directive "UMask=0022" needs systemd 999`, "; it comes from umask in the task's config block"},
		{`directive "Nice=5" of the profile`, ""},
		{`directives: there is no directive "UMask"; did you mean UMasks?`, "; it comes from umask in the task's config block"},
		{`command "/bin/a" is refused`, ""},
	}
	for _, tt := range tests {
		if got := origin(tt.refusal, c); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.refusal, got, tt.want)
		}
	}
}

// TestKeysBecomeDirectives: what is not one directive with the same text.
func TestKeysBecomeDirectives(t *testing.T) {
	spec, err := plannedSpec(newTaskConfig(t, parse(t, `
		command  = "/bin/a"
		hostname = "web-1"
		network  = "/run/netns/web"
		capabilities {
			add  = ["net_bind_service", "kill"]
			drop = ["kill"]
		}`)))
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]string)
	for _, d := range spec.GetDirectives() {
		got[d.GetName()] = d.GetValues()
	}
	want := map[string][]string{
		"AmbientCapabilities":   {"CAP_NET_BIND_SERVICE"},
		"CapabilityBoundingSet": {"CAP_NET_BIND_SERVICE CAP_KILL", "~CAP_KILL"},
		"ProtectHostname":       {"yes:web-1"},
	}
	if !reflect.DeepEqual(got, want) || spec.GetNetworkNamespace() != "/run/netns/web" {
		t.Errorf("got %v in network %q, want %v", got, spec.GetNetworkNamespace(), want)
	}
}
