// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"crypto/rand"
	"path/filepath"
	"strings"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// hostile are texts that try to leave their line of a unit file, to mean something
// else in it, or to be another path. Values of directives have more, in
// broker/directive.
var hostile = []string{
	"x\nNoNewPrivileges=no", "x\n[Service]\nUser=root", "x\n", "\nExecStopPost=+/bin/false", "x\r", "x\rUser=root", "x\x01", "x\x1by", "x\x7f", "x\ty", "\tx",
	`x\`, `\`, `x\\`, `x\x0aUser=root`, `x\nUser=root`, `a\ b`, `\x20`, `x\ ` + "\n" + `User=root`,
	"%", "%%", "%H", "%n", "x%i", "%h/x", `"x"`, `"x`, `'x y'`, `x"`, `'`, `"`,
	"../x", "x/../../y", "./x", "x//y", "x/", "/", "..", "...", "x:y", "x:/etc", "x,y", "-", "-x", "+x", "++", "!x", "@x", ":x", "|x", "~", "=x", "x=", "a=b=c",
	"$PATH", "${PATH}", "$$", "$(id)", "`id`", "x;y", ";", "; x", "# x", ";x", "[Service]", "*", "?", "{a,b}",
	" ", " x", "x ", "a  b", "\u00a0x", "x\u2028y", "x\u0085y", "\ufeffx", "\u202ex", "\u00fc", strings.Repeat("x", 250),
}

// place is where a request has strings: how many at once, and how they get there.
type place struct {
	name string
	most int
	put  func(s *brokerv1.UnitSpec, texts []string)
	// file is what must be there for such a text, or nil.
	file func(s *brokerv1.UnitSpec, text string) string
}

const hostileVolumes = "/opt/hostile/"

var places = []place{
	{"id", 1, func(s *brokerv1.UnitSpec, x []string) { s.Id += x[0] }, nil},
	{"name", 4, func(s *brokerv1.UnitSpec, x []string) { s.Name = x }, nil},
	{"label", 30, func(s *brokerv1.UnitSpec, x []string) { s.Labels = numbered("NOMAD_L", x) }, nil},
	{"name of a label", 1, func(s *brokerv1.UnitSpec, x []string) {
		put(&s.Labels, "NOMAD_"+strings.Replace(x[0], "plain", "PLAIN", 1))
	}, nil},
	{"argument", 100, func(s *brokerv1.UnitSpec, x []string) { s.Args = x }, nil},
	{"variable", 100, func(s *brokerv1.UnitSpec, x []string) { s.Env = numbered("V", x) }, nil},
	{"name of a variable", 1, func(s *brokerv1.UnitSpec, x []string) { put(&s.Env, "V"+x[0]) }, nil},
	{
		"command", 1, func(s *brokerv1.UnitSpec, x []string) { s.Command = "/local/" + x[0] },
		func(s *brokerv1.UnitSpec, x string) string { return filepath.Join(s.GetDirectories().GetLocal(), x) },
	},
	{
		"working directory", 1, func(s *brokerv1.UnitSpec, x []string) { s.WorkingDirectory = "/local/dir-" + x[0] },
		func(s *brokerv1.UnitSpec, x string) string { return s.GetDirectories().GetLocal() + "/dir-" + x },
	},
	{
		"source of a volume", 1, func(s *brokerv1.UnitSpec, x []string) { s.Volumes = append(s.Volumes, volume(x[0], "/source")) },
		func(_ *brokerv1.UnitSpec, x string) string { return hostileVolumes + x },
	},
	{
		"destination of a volume", 1, func(s *brokerv1.UnitSpec, x []string) { s.Volumes = append(s.Volumes, volume("plain", "/data/"+x[0])) },
		func(*brokerv1.UnitSpec, string) string { return hostileVolumes + "plain" },
	},
	{"name of a credential", 1, func(s *brokerv1.UnitSpec, x []string) { s.Credentials = credentials(x[0], "y") }, nil},
	{"credential", 60, func(s *brokerv1.UnitSpec, x []string) {
		s.Credentials = append(s.Credentials, credentials("name", x...)...)
	}, nil},
	{"user", 1, func(s *brokerv1.UnitSpec, x []string) { s.User = strings.Replace(x[0], "plain", "alice", 1) }, nil},
	{"group", 1, func(s *brokerv1.UnitSpec, x []string) { s.Group = strings.Replace(x[0], "plain", "audio", 1) }, nil},
}

func put(m *map[string]string, key string) {
	if *m == nil {
		*m = make(map[string]string)
	}
	(*m)[key] = "y"
}

func numbered(prefix string, texts []string) map[string]string {
	m := make(map[string]string)
	for i, x := range texts {
		m[prefix+strings.Repeat("I", i)] = x
	}
	return m
}

func volume(source, destination string) *brokerv1.Volume {
	return &brokerv1.Volume{Source: hostileVolumes + source, Destination: destination}
}

func credentials(name string, contents ...string) []*brokerv1.Credential {
	var all []*brokerv1.Credential
	for i, x := range contents {
		all = append(all, &brokerv1.Credential{Name: name + strings.Repeat("i", i), From: &brokerv1.Credential_Content{Content: []byte(x)}})
	}
	return all
}

func newSpec(dirs *brokerv1.Directories) *brokerv1.UnitSpec {
	return &brokerv1.UnitSpec{
		Id: rand.Text(), Name: []string{"hostile"}, Command: "/local/task", WorkingDirectory: "/local",
		Directories: &brokerv1.Directories{Alloc: dirs.GetAlloc(), Local: dirs.GetLocal(), Secrets: dirs.GetSecrets()},
		Resources:   &brokerv1.Resources{MemoryMaxBytes: 32 << 20},
		Logging:     &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_JOURNAL},
	}
}

// with puts texts into a request.
func (p place) with(s *brokerv1.UnitSpec, texts ...string) *brokerv1.UnitSpec {
	p.put(s, texts)
	return s
}
