// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package replay

import (
	"bytes"
	_ "embed"
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

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

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
	netns       = "test-execute-netns"
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
	if err := networkNamespace(); err != nil {
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

// networkNamespace makes the one that systemd's own test makes, with a device in it, and
// a device outside of it.
func networkNamespace() error {
	for _, args := range []string{
		"netns add " + netns, "netns exec " + netns + " ip link add dummy-test-ns type dummy", "link add dummy-test-exec type dummy",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
	}
	return nil
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
	bootID, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	specifiers['b'] = strings.ReplaceAll(strings.TrimSpace(string(bootID)), "-", "")
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
		o := outcome{verdict: "not run"} // systemd's own test does not run it on a system like this
		if test, ok := endings[filepath.Base(file)]; ok && known(test.User) {
			o = c.replay(file, test.Expected)
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

// known is whether the host has the user, if one is needed.
func known(name string) bool {
	if name == "" {
		return true
	}
	_, err := user.Lookup(name)
	return err == nil
}

// outcome is what comes of a unit file, and why if it has not passed.
type outcome struct{ verdict, why string }

// computed is whether the reason is the broker's or this package's own. Why a program
// ends otherwise than under systemd alone, and why systemd's test does not run it, is
// what people found.
func (o outcome) computed() bool { return o.verdict == "refused" || o.verdict == "not a request" }

// list reads lines of name, verdict and, if it is not "passed", the reason.
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
			t.Errorf("the list has no line for\n%s\t%s\t%s", name, g.verdict, g.why)
		case w.verdict != g.verdict || g.computed() && w.why != g.why:
			t.Errorf("the list says\n%s\t%s\t%s\nand it is\n%[1]s\t%s\t%s", name, w.verdict, w.why, g.verdict, g.why)
		case g.verdict != "passed" && w.why == "":
			t.Errorf("the list gives no reason for\n%s\t%s", name, g.verdict)
		}
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is in the list, and there is no such unit file", name)
		}
	}
}
