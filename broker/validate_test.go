// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// goodSpec is a request that passes every check.
func goodSpec() *brokerv1.UnitSpec {
	return &brokerv1.UnitSpec{
		Id:      "3f2b6f0e/web/0a1b2c3d",
		Name:    []string{"web", "3f2b6f0e"},
		Labels:  map[string]string{"NOMAD_ALLOC_ID": "3f2b6f0e"},
		Command: "/local/server",
		Args:    []string{"--port", "8080"},
		Env:     map[string]string{"A": "b"},
		Directories: &brokerv1.Directories{
			Alloc: "/var/lib/nomad/alloc/x/alloc", Local: "/var/lib/nomad/alloc/x/web/local", Secrets: "/var/lib/nomad/alloc/x/web/secrets",
		},
		Resources: &brokerv1.Resources{CpuWeight: 100, MemoryMaxBytes: 64 << 20},
		Logging:   &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_JOURNAL},
	}
}

func TestRequestTakesAGoodSpec(t *testing.T) {
	r, err := request(goodSpec(), "NOMAD_")
	if err != nil {
		t.Fatal(err)
	}
	if r.Command != "/local/server" || r.Resources.MemoryMax != 64<<20 || r.LogDriver != "journal" || r.Labels["NOMAD_ALLOC_ID"] == "" {
		t.Errorf("the request lost something: %+v", r)
	}
}

func TestRequestRefuses(t *testing.T) {
	type spec = brokerv1.UnitSpec
	tests := []struct {
		name   string
		change func(*spec)
		want   string // in the error
	}{
		{"a gid as group", func(s *spec) { s.Group = "100" }, `group: "100" is not a group name`},
		{"a gid as further group", func(s *spec) { s.SupplementaryGroups = []string{"a", "0"} }, `supplementary_groups: "0" is not a group name`},
		{"a group twice", func(s *spec) { s.SupplementaryGroups = []string{"a", "b", "a"} }, `"a" is there twice`},
		{"more groups than anybody is in", func(s *spec) { s.SupplementaryGroups = make([]string, 33) }, "33, more than 32"},
		{"a credential named like a path", func(s *spec) { s.Credentials = []*brokerv1.Credential{inline("../a", "")} }, "is not a name of 1 to 64 bytes"},
		{"a credential named like two values", func(s *spec) { s.Credentials = []*brokerv1.Credential{inline("a:/etc/shadow", "")} }, "is not a name of 1 to 64 bytes"},
		{"a credential twice", func(s *spec) { s.Credentials = []*brokerv1.Credential{inline("a", ""), inline("a", "")} }, "a is there twice"},
		{"a credential from nowhere", func(s *spec) { s.Credentials = []*brokerv1.Credential{{Name: "a"}} }, "a has neither"},
		{"a credential of the host", func(s *spec) { s.Credentials = []*brokerv1.Credential{source("a", "/etc/shadow")} }, "not a file in /secrets, /local or /alloc"},
		{"a credential of another task", func(s *spec) { s.Credentials = []*brokerv1.Credential{source("a", "/secrets/../../db/secrets/a")} }, "not a clean path"},
		{"a credential that is a directory of the task", func(s *spec) { s.Credentials = []*brokerv1.Credential{source("a", "/secrets")} }, "not a file in"},
		{"more credentials than anybody needs", func(s *spec) { s.Credentials = make([]*brokerv1.Credential, 65) }, "65, more than 64"},
		{"long content of a credential", func(s *spec) { s.Credentials = []*brokerv1.Credential{inline("a", strings.Repeat("x", 65537))} }, "over 65536 bytes"},
		{"long content of all credentials", func(s *spec) {
			for i := range 5 {
				s.Credentials = append(s.Credentials, inline(string(rune('a'+i)), strings.Repeat("x", 65536)))
			}
		}, "that of all is over 262144"},
		{"a profile that is a path", func(s *spec) { s.Profile = "../strict" }, "name of a profile"},
		{"a directive that does not exist", func(s *spec) { s.Directives = []*brokerv1.Directive{{Name: "X\nY", Values: []string{"1"}}} }, `there is no directive "X\nY"`},
		{"a directive without lines", func(s *spec) { s.Directives = []*brokerv1.Directive{{Name: "ReadOnlyPaths"}} }, "ReadOnlyPaths has 0 lines"},
		{"a directive twice", func(s *spec) {
			d := &brokerv1.Directive{Name: "Nice", Values: []string{"1"}}
			s.Directives = []*brokerv1.Directive{d, d}
		}, "Nice is there twice"},
		{"more directives than anybody needs", func(s *spec) { s.Directives = make([]*brokerv1.Directive, 129) }, "129, more than 128"},
		{"a list of paths without end", func(s *spec) {
			line := strings.Repeat(" /"+strings.Repeat("a", 100), 100)
			s.Directives = []*brokerv1.Directive{{Name: "ReadOnlyPaths", Values: []string{line, line, line, line, line, line, line}}}
		}, "more than 65536"},
		{"an empty id", func(s *spec) { s.Id = "" }, "id"},
		{"an id with a newline", func(s *spec) { s.Id = "a\n" }, `"a\n"`},
		{"an id that is too long", func(s *spec) { s.Id = strings.Repeat("a", 257) }, "id"},
		{"five words", func(s *spec) { s.Name = make([]string, 5) }, "5 words"},
		{"a word with a newline", func(s *spec) { s.Name = []string{"a\nUser=root"} }, "name"},
		{"a word that ends in a backslash", func(s *spec) { s.Name = []string{`a\`} }, "name"},
		{"the broker's own field as a label", func(s *spec) { s.Labels = map[string]string{"BROKER_CLIENT": "x"} }, "BROKER_CLIENT"},
		{"journald's own field as a label", func(s *spec) { s.Labels = map[string]string{"MESSAGE": "x"} }, "MESSAGE"},
		{"a label with a newline", func(s *spec) { s.Labels = map[string]string{"NOMAD_A": "x\ny"} }, "NOMAD_A"},
		{"a label with a space", func(s *spec) { s.Labels = map[string]string{"NOMAD_A": "x BROKER_CLIENT=y"} }, "white space"},
		{"a label with a no-break space", func(s *spec) { s.Labels = map[string]string{"NOMAD_A": "x\u00a0y"} }, "white space"},
		{"a file name as command", func(s *spec) { s.Command = "sh" }, "command"},
		{"a limit of lines that do not go to the journal", func(s *spec) {
			s.Logging = &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_NONE, RateLimitBurst: 1, RateLimitInterval: durationpb.New(time.Second)}
		}, "DRIVER_JOURNAL only"},
		{"a limit of lines without a time", func(s *spec) { s.Logging.RateLimitBurst = 1 }, "rate_limit_interval"},
		{"a limit of no lines", func(s *spec) { s.Logging.RateLimitInterval = durationpb.New(time.Second) }, "rate_limit_interval"},
		{"a limit of lines in no time", func(s *spec) {
			s.Logging.RateLimitBurst, s.Logging.RateLimitInterval = 1, durationpb.New(-time.Second)
		}, "rate_limit_interval"},
		{"no command", func(s *spec) { s.Command = "" }, "command"},
		{"a relative command", func(s *spec) { s.Command = "bin/x" }, "command"},
		{"a command with a prefix of systemd's", func(s *spec) { s.Command = "+/bin/sh" }, "command"},
		{"a command that is not clean", func(s *spec) { s.Command = "/local/../usr/bin/x" }, "clean"},
		{"a command with a specifier", func(s *spec) { s.Command = "/local/%h" }, "command"},
		{"a command with a space", func(s *spec) { s.Command = "/local/a b" }, "command"},
		{"an argument with a NUL", func(s *spec) { s.Args = []string{"a\x00"} }, "argument 1"},
		{"an argument that is not UTF-8", func(s *spec) { s.Args = []string{"a", "\xff"} }, "argument 2"},
		{"too long a command line", func(s *spec) { s.Args = []string{strings.Repeat("a", maxArgsBytes)} }, "args"},
		{"too many arguments", func(s *spec) { s.Args = make([]string, maxArgs+1) }, "args"},
		{"a variable with a bad name", func(s *spec) { s.Env = map[string]string{"A B": "x"} }, "A B"},
		{"a variable that starts with a digit", func(s *spec) { s.Env = map[string]string{"1A": "x"} }, "1A"},
		{"a variable with an escape", func(s *spec) { s.Env = map[string]string{"A": "\x1b[31m"} }, "value of A"},
		{"a variable that is not UTF-8", func(s *spec) { s.Env = map[string]string{"A": "\xff"} }, "value of A"},
		{"too large an environment", func(s *spec) { s.Env = map[string]string{"A": strings.Repeat("a", maxEnvBytes)} }, "env"},
		{"a numeric user", func(s *spec) { s.User = "0" }, "user"},
		{"a user with a newline", func(s *spec) { s.User = "root\n" }, "user"},
		{"no directories", func(s *spec) { s.Directories = nil }, "directories.alloc"},
		{"a directory with a colon", func(s *spec) { s.Directories.Local = "/a:/b" }, "directories.local"},
		{"a directory that is not clean", func(s *spec) { s.Directories.Secrets = "/a//b" }, "directories.secrets"},
		{"a relative working directory", func(s *spec) { s.WorkingDirectory = "x" }, "working_directory"},
		{"too large a weight", func(s *spec) { s.Resources.CpuWeight = 10001 }, "cpu_weight"},
		{"a CPU that cannot be", func(s *spec) { s.Resources.Cpus = []uint32{1 << 31} }, "cpus"},
		{"no memory limit", func(s *spec) { s.Resources.MemoryMaxBytes = 0 }, "memory"},
		{"a memory limit and none", func(s *spec) { s.Resources.MemoryUnlimited = true }, "memory"},
		{"no log driver", func(s *spec) { s.Logging = nil }, "logging.driver"},
		{"descriptors without a token", func(s *spec) { s.Logging.Driver = brokerv1.Logging_DRIVER_FDS }, "fd_token"},
		{"a token without descriptors", func(s *spec) { s.Logging.FdToken = strings.Repeat("a", 64) }, "fd_token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := goodSpec()
			tt.change(s)
			_, err := request(s, "NOMAD_")
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error does not name %q: %v", tt.want, err)
			}
			if strings.ContainsAny(err.Error(), "\n\x1b\x00") {
				t.Errorf("the error holds control characters: %q", err)
			}
		})
	}
}

func TestKnownRefusesWhatItDoesNotKnow(t *testing.T) {
	nested := goodSpec()
	nested.Resources.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	enum := goodSpec()
	enum.Logging.Driver = 99
	for name, spec := range map[string]*brokerv1.UnitSpec{"an unknown field": nested, "an unknown enum value": enum} {
		t.Run(name, func(t *testing.T) {
			if err := known(&brokerv1.StartUnitRequest{Spec: spec}); err == nil {
				t.Error("accepted")
			}
		})
	}
	if err := known(&brokerv1.StartUnitRequest{Spec: goodSpec()}); err != nil {
		t.Errorf("a good request is refused: %v", err)
	}
}

// TestEachCallRefusesAnUnknownField: a client that is newer than the broker may mean by
// it that less is to be allowed.
func TestEachCallRefusesAnUnknownField(t *testing.T) {
	w := newWorld(t)
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1)
	for name, call := range map[string]struct {
		req proto.Message
		do  func(proto.Message) error
	}{
		"CheckStart": {&brokerv1.CheckStartRequest{Spec: w.spec("a/1")}, func(m proto.Message) error {
			_, err := w.client.CheckStart(w.ctx(), m.(*brokerv1.CheckStartRequest))
			return err
		}},
		"StartUnit": {&brokerv1.StartUnitRequest{Spec: w.spec("a/1")}, func(m proto.Message) error {
			_, err := w.client.StartUnit(w.ctx(), m.(*brokerv1.StartUnitRequest))
			return err
		}},
		"StopUnit": {&brokerv1.StopUnitRequest{}, func(m proto.Message) error {
			_, err := w.client.StopUnit(w.ctx(), m.(*brokerv1.StopUnitRequest))
			return err
		}},
		"SignalUnit": {&brokerv1.SignalUnitRequest{Signal: 15}, func(m proto.Message) error {
			_, err := w.client.SignalUnit(w.ctx(), m.(*brokerv1.SignalUnitRequest))
			return err
		}},
		"RemoveUnit": {&brokerv1.RemoveUnitRequest{}, func(m proto.Message) error {
			_, err := w.client.RemoveUnit(w.ctx(), m.(*brokerv1.RemoveUnitRequest))
			return err
		}},
		"ExecInUnit": {&brokerv1.ExecInUnitRequest{}, func(m proto.Message) error {
			stream, err := w.client.ExecInUnit(w.ctx(), m.(*brokerv1.ExecInUnitRequest))
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			call.req.ProtoReflect().SetUnknown(unknown)
			wantCode(t, call.do(call.req), codes.InvalidArgument, "does not know")
		})
	}
}

// FuzzRequest feeds wire bytes to the whole way from a message to a request:
// it must not panic, and what it accepts must hold to the rules that keep text
// from changing a unit file.
func FuzzRequest(f *testing.F) {
	for _, change := range []func(*brokerv1.UnitSpec){
		func(*brokerv1.UnitSpec) {},
		func(s *brokerv1.UnitSpec) {
			s.Volumes = []*brokerv1.Volume{{Source: "/srv/a", Destination: "/data", ReadOnly: true}, {Source: "/srv/b.img", Destination: "/model", Image: true}}
		},
		func(s *brokerv1.UnitSpec) {
			s.Rootfs = &brokerv1.Rootfs{Kind: brokerv1.Rootfs_KIND_IMAGE, Image: "/srv/root.img", VerityRootHash: strings.Repeat("ab", 32), VeritySignature: "/srv/root.p7s"}
		},
		func(s *brokerv1.UnitSpec) {
			s.Devices = []*brokerv1.Device{{Path: "/dev/dri/card0", Permissions: "rw"}}
		},
		func(s *brokerv1.UnitSpec) {
			s.Credentials = []*brokerv1.Credential{inline("token", "\x00\n"), source("key", "/secrets/key")}
		},
		func(s *brokerv1.UnitSpec) {
			s.Profile, s.Directives = "strict", []*brokerv1.Directive{{Name: "SystemCallFilter", Values: []string{"", "~@mount"}}}
		},
		func(s *brokerv1.UnitSpec) {
			s.User, s.Group, s.SupplementaryGroups, s.UserManager = "app", "audio", []string{"video", "kvm"}, true
			s.Logging.Driver = brokerv1.Logging_DRIVER_NONE
		},
		func(s *brokerv1.UnitSpec) {
			s.NetworkNamespace, s.WorkingDirectory, s.IdentityToken = "/run/netns/a", "/alloc/data", "a.b.c"
		},
		func(s *brokerv1.UnitSpec) {
			s.Logging = &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_FDS, FdToken: strings.Repeat("0f", 32)}
		},
	} {
		s := goodSpec()
		change(s)
		wire, err := proto.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		spec := new(brokerv1.UnitSpec)
		if proto.Unmarshal(wire, spec) != nil || known(spec) != nil {
			t.Skip()
		}
		r, err := request(spec, "NOMAD_")
		if err != nil {
			return
		}
		texts := append([]string{r.ID, r.Command, r.User, r.Group, r.WorkingDirectory, r.Directories.Alloc, r.Directories.Local, r.Directories.Secrets}, r.Name...)
		texts = append(texts, r.Profile, r.NetworkNamespace, r.Rootfs.Image, r.Rootfs.RootHash, r.Rootfs.Signature)
		texts = append(texts, r.SupplementaryGroups...)
		for _, v := range r.Volumes {
			texts = append(texts, v.Source, v.Destination)
		}
		for _, d := range r.Devices {
			texts = append(texts, d.Path)
		}
		for _, c := range r.Credentials {
			texts = append(texts, c.Name, c.Source)
		}
		for k, v := range r.Labels {
			texts = append(texts, k, v)
		}
		for _, s := range texts {
			if !plain(s) {
				t.Errorf("%q was accepted", s)
			}
		}
	})
}
