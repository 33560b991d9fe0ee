// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package replay

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/status"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// patience bounds each start and each program.
const patience = 30 * time.Second

type client struct {
	t   *testing.T
	api brokerv1.BrokerServiceClient
}

// replay is what comes of a unit file, and why if it is not what systemd expects.
func (c *client) replay(file string, want Expected) outcome {
	c.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := Parse(string(text))
	if err != nil {
		c.t.Fatal(file, err)
	}
	if s.Unsaid != nil { // does the broker take all the rest?
		s.Commands = []Command{{[]string{"true"}, true}}
	}
	for n, command := range s.Commands {
		expect := Expected{}
		if n == len(s.Commands)-1 {
			expect = want
		}
		got, err := c.run(s, command.Words)
		if err != nil {
			return outcome{"refused", reason(err)}
		}
		if got != expect && !command.MayFail {
			return outcome{"differs", fmt.Sprintf("%q ends with code %d, signal %d; want %d, %d", command.Words, got.Code, got.Signal, expect.Code, expect.Signal)}
		}
	}
	if s.Unsaid != nil {
		return outcome{"not a request", s.Unsaid.Error()}
	}
	return outcome{verdict: "passed"}
}

var replayed = regexp.MustCompile(`nomad-replay-[0-9a-f]+`)

// reason is what the broker says, without what to do about it, values of directives that
// no policy can allow, and what another run would not say.
func reason(err error) string {
	text := strings.TrimPrefix(status.Convert(err).Message(), "policy refuses ")
	for _, detail := range status.Convert(err).Details() {
		if d, ok := detail.(*brokerv1.Denial); ok && d.GetSubject() == "directive" {
			name, _, _ := strings.Cut(d.GetValue(), "=")
			text = name + "=: " + strings.TrimPrefix(d.GetReason(), "no policy can allow it: ")
		}
	}
	text, _, _ = strings.Cut(text, "; ")
	return strings.Join(strings.Fields(replayed.ReplaceAllString(text, "of this file")), " ")
}

// run runs one command of the service to its end.
func (c *client) run(s *Service, command []string) (Expected, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	spec := c.spec(s, command)
	resp, err := c.api.StartUnit(ctx, &brokerv1.StartUnitRequest{Spec: spec})
	if err != nil {
		return Expected{}, err
	}
	unit := resp.GetUnit()
	defer func() {
		if _, err := c.api.RemoveUnit(c.t.Context(), &brokerv1.RemoveUnitRequest{Handle: unit.GetHandle()}); err != nil {
			c.t.Error(err)
		}
	}()
	if unit, err = c.exited(ctx, unit); err != nil {
		c.t.Fatalf("%q: %v", command, err)
	}
	return Expected{unit.GetExit().GetCode(), unit.GetExit().GetSignal()}, nil
}

func (c *client) exited(ctx context.Context, unit *brokerv1.Unit) (*brokerv1.Unit, error) {
	stream, err := c.api.WatchUnits(ctx, &brokerv1.WatchUnitsRequest{})
	for err == nil {
		var m *brokerv1.WatchUnitsResponse
		if m, err = stream.Recv(); err != nil {
			break
		}
		if u := m.GetUnit(); u.GetId() == unit.GetId() && u.GetExit() != nil {
			return u, nil
		}
	}
	return nil, errors.Join(errors.New("the unit has not ended"), err)
}

func (c *client) spec(s *Service, command []string) *brokerv1.UnitSpec {
	c.t.Helper()
	id := rand.Text()
	alloc := filepath.Join(allocRoot, uuid())
	dirs := &brokerv1.Directories{
		Alloc: filepath.Join(alloc, "alloc"), Local: filepath.Join(alloc, "task", "local"), Secrets: filepath.Join(alloc, "task", "secrets"),
	}
	for _, dir := range []string{dirs.GetAlloc(), dirs.GetLocal(), dirs.GetSecrets()} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			c.t.Fatal(err)
		}
	}
	c.t.Cleanup(func() { _ = os.RemoveAll(alloc) })
	spec := &brokerv1.UnitSpec{
		Id: id, Name: []string{"replay"}, Command: inPath(s, command[0]), Args: command[1:], Env: s.Env,
		User: userName(s.User), Group: groupName(s.Group),
		Directories: dirs, NetworkNamespace: s.NetworkNamespace, WorkingDirectory: filepath.Clean(cmp.Or(s.WorkingDirectory, "/")), Profile: "replay",
		Resources: &brokerv1.Resources{MemoryUnlimited: true},
		Logging:   &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_JOURNAL},
	}
	for _, g := range s.Groups {
		spec.SupplementaryGroups = append(spec.SupplementaryGroups, groupName(g))
	}
	for _, v := range s.Volumes {
		spec.Volumes = append(spec.Volumes, &brokerv1.Volume{Source: v.Source, Destination: v.Destination, ReadOnly: v.ReadOnly})
	}
	for _, d := range s.Directives {
		if !saysNothing(spec.GetUser(), d) {
			spec.Directives = append(spec.Directives, &brokerv1.Directive{Name: d.Name, Values: d.Lines})
		}
	}
	return spec
}

// saysNothing is whether a directive asks for what a request has without it: an
// optional path that is not on this host; or a dynamic user where none is named, or one
// that exists, whom systemd takes for it.
func saysNothing(name string, d Directive) bool {
	switch d.Name {
	case "DynamicUser":
		return slices.Equal(d.Lines, []string{"yes"}) && known(name)
	case "EnvironmentFile", "ReadWritePaths":
		return !slices.ContainsFunc(d.Lines, func(line string) bool {
			path, optional := strings.CutPrefix(line, "-")
			_, err := os.Stat(path)
			return !optional || err == nil
		})
	}
	return false
}

// userName is the name of a user that a unit file may give by its number.
func userName(name string) string {
	if u, err := user.LookupId(name); err == nil {
		return u.Username
	}
	return name
}

// groupName is the name of a group that a unit file may give by its number.
func groupName(group string) string {
	if g, err := user.LookupGroupId(group); err == nil {
		return g.Name
	}
	return group
}

func uuid() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// inPath finds a program where PID 1 looks for it, by the name that it has in the
// unit's view, where /bin and /sbin are links.
func inPath(s *Service, program string) string {
	for _, dir := range []string{"/usr/bin", "/usr/sbin", "/bin", "/sbin"} {
		path := filepath.Join(dir, strings.TrimPrefix(program, dir+"/"))
		if _, err := os.Stat(path); err == nil && !strings.Contains(strings.TrimPrefix(path, dir+"/"), "/") {
			dir, err := filepath.EvalSymlinks(dir)
			if err == nil {
				return filepath.Join(dir, filepath.Base(path))
			}
		}
	}
	if i := slices.IndexFunc(s.Directives, func(d Directive) bool { return d.Name == "ExecSearchPath" }); i >= 0 && !strings.HasPrefix(program, "/") {
		first, _, _ := strings.Cut(s.Directives[i].Lines[0], ":")
		return filepath.Join(first, program)
	}
	return program
}
