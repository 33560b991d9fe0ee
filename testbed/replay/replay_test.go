// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package replay

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"nomad-systemd-driver/broker/directive"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

var (
	source   = flag.String("source", "", "systemd's source, with test/test-execute and src/test/test-execute.c")
	expected = flag.String("expected", "", "what each unit file is expected to come to")
)

const (
	policyFile  = "/etc/systemd-brokerd/policy.d/30-replay.hcl"
	profileFile = "/etc/systemd-brokerd/profiles/replay.conf"
	socket      = "unix:/run/systemd-brokerd/broker.sock"
	allocRoot   = "/var/lib/nomad/alloc"
	// patience bounds each start and each program.
	patience = 30 * time.Second
)

//go:embed policy.hcl.tmpl
var policyText string

// TestMain prepares the host as root and runs the tests as the broker's client.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getuid() != 0 {
		os.Exit(m.Run())
	}
	if err := asClient(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func asClient() error {
	if err := putPolicyInForce(); err != nil {
		return err
	}
	nomad, err := user.Lookup("nomad")
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(nomad.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(nomad.Gid, 10, 32)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(allocRoot, 0o711); err != nil {
		return err
	}
	if err := os.Chown(allocRoot, int(uid), int(gid)); err != nil {
		return err
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return cmd.Run()
}

func putPolicyInForce() error {
	var offered []string
	for _, d := range directive.All() {
		if d.Refusal() == "" {
			offered = append(offered, d.Name)
		}
	}
	var text bytes.Buffer
	if err := template.Must(template.New("").Parse(policyText)).Execute(&text, offered); err != nil {
		return err
	}
	if err := os.WriteFile(policyFile, text.Bytes(), 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(profileFile), 0o755); err != nil {
		return err
	}
	// Nothing but what systemd has without a directive.
	if err := os.WriteFile(profileFile, []byte("[Service]\nUMask=0022\n"), 0o644); err != nil {
		return err
	}
	if out, err := exec.Command("sh", "-c", "systemd-brokerd policy check && systemctl restart systemd-brokerd").CombinedOutput(); err != nil {
		return fmt.Errorf("the policy of the test does not come into force: %w: %s", err, out)
	}
	return nil
}

// TestReplay runs each unit file, and compares what comes of it with the list that
// is kept for this version of systemd.
func TestReplay(t *testing.T) {
	conn, err := grpc.NewClient(socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &client{t, brokerv1.NewBrokerServiceClient(conn)}
	text, err := os.ReadFile(filepath.Join(*source, "src/test/test-execute.c"))
	if err != nil {
		t.Fatal(err)
	}
	endings, err := Expectations(string(text))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(*source, "test/test-execute/*.service"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no unit files in %s: %v", *source, err)
	}
	got := make(map[string]outcome)
	count := make(map[string]int)
	for _, file := range files {
		o := outcome{"not run", "systemd's own test does not run it on a system like this"}
		if ending, ok := endings[filepath.Base(file)]; ok {
			o.verdict, o.why = c.replay(file, ending)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".service")
		t.Logf("%s: %s %s", name, o.verdict, o.why)
		count[o.verdict]++
		got[name] = o
	}
	t.Logf("of %d unit files %d passed, %d are refused, %d say what no request can, %d end otherwise, %d were not run",
		len(files), count["passed"], count["refused"], count["not a request"], count["differs"], count["not run"])
	want, err := os.ReadFile(*expected)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, list(string(want)), got)
}

// outcome is what comes of a unit file, and why if it has not passed.
type outcome struct{ verdict, why string }

// list reads lines of name, verdict and, for what differs, the reason that people
// found.
func list(text string) map[string]outcome {
	all := make(map[string]outcome)
	for line := range strings.Lines(text) {
		if fields := strings.Split(strings.TrimSpace(line), "\t"); len(fields) > 1 {
			all[fields[0]] = outcome{fields[1], strings.Join(fields[2:], " ")}
		}
	}
	return all
}

func compare(t *testing.T, want, got map[string]outcome) {
	t.Helper()
	for name, g := range got {
		switch w, ok := want[name]; {
		case !ok:
			t.Errorf("the list has no line for\n%s\t%s", name, g.verdict)
		case w.verdict != g.verdict:
			t.Errorf("%s: %s, and the list says %s", name, g.verdict, w.verdict)
		case g.verdict == "differs" && w.why == "":
			t.Errorf("%s: the list gives no reason why it differs", name)
		}
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is in the list, and there is no such unit file", name)
		}
	}
}

type client struct {
	t   *testing.T
	api brokerv1.BrokerServiceClient
}

// replay is what comes of a unit file, and why if it is not what systemd expects.
func (c *client) replay(file string, want Expected) (verdict, why string) {
	c.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := Parse(string(text))
	if err != nil {
		return "not a request", err.Error()
	}
	for n, command := range s.Commands {
		expect := Expected{}
		if n == len(s.Commands)-1 {
			expect = want
		}
		got, err := c.run(s, command)
		if err != nil {
			return "refused", strings.ReplaceAll(status.Convert(err).Message(), "\n", " ")
		}
		if got != expect {
			return "differs", fmt.Sprintf("%q ends with code %d, signal %d; want %d, %d", command, got.Code, got.Signal, expect.Code, expect.Signal)
		}
	}
	return "passed", ""
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
		Id: id, Name: []string{"replay"}, Command: inPath(command[0]), Args: command[1:], Env: s.Env,
		User: s.User, Group: groupName(s.Group),
		Directories: dirs, WorkingDirectory: filepath.Clean(cmp.Or(s.WorkingDirectory, "/")), Profile: "replay",
		Resources: &brokerv1.Resources{MemoryUnlimited: true},
		Logging:   &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_JOURNAL},
	}
	for _, g := range s.Groups {
		spec.SupplementaryGroups = append(spec.SupplementaryGroups, groupName(g))
	}
	for _, d := range s.Directives {
		spec.Directives = append(spec.Directives, &brokerv1.Directive{Name: d.Name, Values: d.Lines})
	}
	return spec
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
func inPath(program string) string {
	for _, dir := range []string{"/usr/bin", "/usr/sbin", "/bin", "/sbin"} {
		path := filepath.Join(dir, strings.TrimPrefix(program, dir+"/"))
		if _, err := os.Stat(path); err == nil && !strings.Contains(strings.TrimPrefix(path, dir+"/"), "/") {
			dir, err := filepath.EvalSymlinks(dir)
			if err == nil {
				return filepath.Join(dir, filepath.Base(path))
			}
		}
	}
	return program
}
