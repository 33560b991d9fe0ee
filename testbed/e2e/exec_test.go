// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/websocket"
	"golang.org/x/sys/unix"
)

// session is nomad alloc exec of a shell script in the job's task.
func (j *job) session(script string) *exec.Cmd {
	return exec.Command("nomad", "alloc", "exec", "-task", "task", "-t=false", "-i=true", j.alloc, "/bin/sh", "-c", script)
}

// inTask runs a script in the task and returns its output.
func (j *job) inTask(script string) string {
	j.t.Helper()
	var stderr bytes.Buffer
	cmd := j.session(script)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		j.t.Fatalf("alloc exec %q: %v: %s", script, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// onTerminal runs a script in the task from a terminal of 100 rows and 100
// columns, and returns what the terminal showed and the exit code.
func (j *job) onTerminal(script, stdin string) (string, int) {
	j.t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		j.t.Fatal(err)
	}
	master := os.NewFile(uintptr(fd), "ptmx")
	defer master.Close()
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err := errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0),
		unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 100, Col: 100})); err != nil {
		j.t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		j.t.Fatal(err)
	}
	cmd := exec.Command("nomad", "alloc", "exec", "-task", "task", "-t=true", "-i=true", j.alloc, "/bin/sh", "-c", script)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	cmd.Env = append(os.Environ(), "TERM=xterm")
	if err := cmd.Start(); err != nil {
		j.t.Fatal(err)
	}
	_ = slave.Close()
	var shown bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			shown.Write(buf[:n])
			if stdin != "" && bytes.Contains(shown.Bytes(), []byte("ready")) {
				_, _ = master.Write([]byte(stdin))
				stdin = ""
			}
			if err != nil {
				return // EIO: nobody has the terminal any more
			}
		}
	}()
	_ = cmd.Wait()
	<-read
	return shown.String(), cmd.ProcessState.ExitCode()
}

// TestExecStreams covers what a user of the command sees. Nomad's own test kit has
// more about a driver's streams; see testbed/harness.
func TestExecStreams(t *testing.T) {
	t.Parallel()
	j := submit(t, task{Type: "service", Config: command("tick")})
	j.await("running")
	for _, tt := range []struct {
		name, script, stdin, stdout, stderr string
		code                                int
	}{
		{
			name: "streams", script: "for n in 1 2; do echo $n; sleep 0.2; done; cat; echo end; stty size; exit 43", stdin: "a\nb\nc\n",
			stdout: "1\n2\na\nb\nc\nend\n", stderr: "stty: .*: Inappropriate ioctl for device\n", code: 43,
		},
		{name: "a signal", script: "kill -9 $$", code: 137},
		{
			name:   "a megabyte, and children left behind",
			script: "(sleep 600; echo late) & head -c 1000000 /dev/zero | tr '\\0' x", stdout: strings.Repeat("x", 1000000),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from := time.Now()
			cmd := j.session(tt.script)
			var stdout, stderr bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(tt.stdin), &stdout, &stderr
			_ = cmd.Run()
			if ok, err := regexp.MatchString("^"+tt.stderr+"$", stderr.String()); err != nil || !ok || stdout.String() != tt.stdout || cmd.ProcessState.ExitCode() != tt.code {
				t.Errorf("got %d %.80q %q, want %d %.80q %q", cmd.ProcessState.ExitCode(), stdout.String(), stderr.String(), tt.code, tt.stdout, tt.stderr)
			}
			t.Logf("%.2f s", time.Since(from).Seconds())
		})
	}
	for _, tt := range []struct {
		name, script, stdin, want string
		code                      int
	}{
		{
			name:   "terminal: size, and children left behind",
			script: "n=0; until [ \"$(stty size)\" = '100 100' ] || [ $((n+=1)) -gt 300 ]; do sleep 0.1; done; stty size; ( (sleep 600; echo from background) & ); echo hello stdout; echo hello stderr >&2; exit 43",
			want:   "100 100\r\nhello stdout\r\nhello stderr\r\n", code: 43,
		},
		{name: "terminal: input is echoed", script: "echo ready; head -n1", stdin: "hello from stdin\r", want: "ready\r\nhello from stdin\r\nhello from stdin\r\n"},
		{name: "terminal: it controls the session", script: "trap 'echo interrupted; exit 5' INT; echo ready; sleep 1000 & wait", stdin: "\x03", want: "interrupted\r\n", code: 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, code := j.onTerminal(tt.script, tt.stdin)
			// The terminal echoes the key before or after what the program says to it.
			if got = strings.ReplaceAll(got, "^C", ""); !strings.HasSuffix(got, tt.want) || code != tt.code {
				t.Errorf("got %d %q, want %d %q", code, got, tt.code, tt.want)
			}
		})
	}
}

// TestExecKeepsTheExitCode: what the command sends just as a session ends, its
// heartbeat for one, does not hide how it ended.
func TestExecKeepsTheExitCode(t *testing.T) {
	t.Parallel()
	j := submit(t, task{Type: "service", Config: command("tick")})
	j.await("running")
	q := url.Values{"task": {"task"}, "tty": {"false"}, "command": {`["/bin/sh", "-c", "exit 5"]`}}
	for range 12 {
		conn, err := websocket.Dial("ws://127.0.0.1:4646/v1/client/allocation/"+j.alloc+"/exec?"+q.Encode(), "", "http://127.0.0.1:4646")
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		var heartbeats sync.WaitGroup
		var m struct {
			Exited bool
			Result struct {
				ExitCode int `json:"exit_code"`
			}
		}
		err = websocket.JSON.Receive(conn, &m) // its outputs end: the exit code comes next
		heartbeats.Go(func() {
			for websocket.JSON.Send(conn, struct{}{}) == nil {
			}
		})
		for !m.Exited && err == nil {
			err = websocket.JSON.Receive(conn, &m)
		}
		if err != nil || m.Result.ExitCode != 5 {
			t.Errorf("got %d, %v; want 5", m.Result.ExitCode, err)
		}
		_ = conn.Close()
		heartbeats.Wait()
	}
}

func TestExecRunsAsTheTaskInItsSandbox(t *testing.T) {
	t.Parallel()
	j := submit(t, task{Type: "service", Config: command("tick"), Memory: 64, Env: map[string]string{"SECRET": "a b"}})
	j.await("running")
	pid := j.pid()
	scripts := []string{
		"id -u", "ls / | tr '\\n' ' '", "echo $SECRET $NOMAD_TASK_DIR", "pwd",
		"grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | tr -d '\\t' | tr '\\n' ' '",
		fmt.Sprintf("kill -0 %d && echo sees the task", pid),
		"echo kept | tee /tmp/file /alloc/data/file", "cat /proc/self/cgroup",
	}
	want := []string{
		strings.Fields(procStatus(t, pid)["Uid"])[0], "alloc bin dev etc lib lib64 local proc root run sbin secrets sys tmp usr var", "a b /local", "/local",
		"CapEff:0000000000000000 CapBnd:0000000000000000 NoNewPrivs:1 Seccomp:2", "sees the task", "kept",
		"0::/brokerd.slice/brokerd-nomad.slice/nomad-task-" + j.alloc[:8] + "-exec-",
	}
	got := strings.Split(j.inTask(strings.Join(scripts, "; echo --; ")), "--\n")
	if len(got) != len(want) {
		t.Fatalf("it prints %q", got)
	}
	for i, script := range scripts {
		if !strings.HasPrefix(strings.TrimSpace(got[i])+"\n", want[i]+"\n") && i != len(want)-1 || !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("%s: got %q, want %q", script, got[i], want[i])
		}
	}
	if got := j.inTask("cat /tmp/file /alloc/data/file"); got != "kept\nkept" {
		t.Errorf("the files of one session are %q to the next", got)
	}
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/tmp/file", pid)); err != nil || string(text) != "kept\n" {
		t.Errorf("the session's /tmp is not the task's: %q, %v", text, err)
	}
	cmd := exec.Command("nomad", "alloc", "exec", "-task", "task", j.alloc, "true") // found as a shell finds it
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("a program without its path: %v: %s", err, out)
	}
	out, err := exec.Command("nomad", "alloc", "exec", "-task", "task", j.alloc, "/usr/bin/nonesuch").CombinedOutput()
	if err == nil || !strings.Contains(string(out), `command "/usr/bin/nonesuch" does not exist`) {
		t.Errorf("a program that does not exist: %v: %s", err, out)
	}
}

// awaitSession returns the name of the unit of the session under way.
func (j *job) awaitSession() string {
	j.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		for _, name := range units(j.t) {
			if strings.Contains(name, "-exec-") {
				return name
			}
		}
	}
	j.t.Fatal("there is no session")
	return ""
}

func (j *job) noSession() {
	j.t.Helper()
	deadline := time.Now().Add(patience)
	for ; time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if !strings.Contains(strings.Join(units(j.t), " "), "-exec-") {
			return
		}
	}
	j.t.Errorf("a session is left: %v", units(j.t))
}

func TestExecEnds(t *testing.T) {
	lasting := submit(t, task{Type: "service", Config: command("tick")})
	lasting.await("running")
	for _, tt := range []struct {
		name       string
		end        func(*testing.T, *job, *exec.Cmd)
		taskGoesOn bool
	}{
		// Nomad notices at the next output, as with its own drivers.
		{"when its caller goes away", func(_ *testing.T, _ *job, cmd *exec.Cmd) { _ = cmd.Process.Kill() }, true},
		{"when the task is stopped", func(_ *testing.T, j *job, _ *exec.Cmd) { j.stop() }, false},
		{"when the task exits", func(_ *testing.T, j *job, _ *exec.Cmd) { _ = syscall.Kill(j.pid(), syscall.SIGTERM) }, false},
		{"when the driver dies", func(t *testing.T, _ *job, _ *exec.Cmd) { run(t, "pkill", "-KILL", "-f", "nomad-systemd-driver") }, true},
		{"when the broker dies", func(t *testing.T, _ *job, _ *exec.Cmd) {
			run(t, "systemctl", "kill", "--signal=KILL", "systemd-brokerd")
		}, true},
		{"when the broker is restarted", func(t *testing.T, _ *job, _ *exec.Cmd) { run(t, "systemctl", "restart", "systemd-brokerd") }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := lasting.in(t)
			if !tt.taskGoesOn {
				j = submit(t, task{Type: "service", Config: command("tick")})
				j.await("running")
			}
			pid := j.pid()
			cmd := j.session("while echo here; do sleep 0.2; done")
			stdin, err := cmd.StdinPipe()
			if err := errors.Join(err, cmd.Start()); err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			j.awaitSession()
			tt.end(t, j, cmd)
			if err := cmd.Wait(); err == nil {
				t.Error("it ended well")
			}
			j.noSession()
			if !tt.taskGoesOn {
				return
			}
			driverHealth(t, healthy)
			if got := j.pid(); got != pid {
				t.Errorf("the task has pid %d, had %d", got, pid)
			}
			// The node may be called healthy still by who has not noticed the driver's death.
			awaitTrue(t, "there is no next session", func() bool {
				out, err := j.session("echo again").CombinedOutput()
				return err == nil && string(out) == "again\n"
			})
		})
	}
}

func TestExecIsRefusedWithoutARule(t *testing.T) {
	t.Parallel()
	j := submit(t, task{Type: "service", Config: command("tick"), User: "alice"})
	j.await("running")
	out, err := j.session("id").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "sessions = true") {
		t.Errorf("got %v: %s", err, out)
	}
}

// variable puts a Nomad variable that the job may read.
func (j *job) variable(value string) {
	j.t.Helper()
	call(j.t, "PUT", "/var/nomad/jobs/"+j.id, map[string]any{"Path": "nomad/jobs/" + j.id, "Items": map[string]string{"value": value}}, nil)
}

func TestTemplateThatChangesRunsItsScript(t *testing.T) {
	t.Parallel()
	j := &job{t: t, id: jobName(t)}
	j.variable("one")
	text := `{{ with nomadVar "nomad/jobs/` + j.id + `" }}{{ .value }}{{ end }}`
	j = submit(t, task{Type: "service", Config: command("signals"), Templates: []template{
		{Path: "local/script", Text: text, Script: []string{"/bin/sh", "-c", "cat /local/script > /local/seen; kill -USR1 " + "$(cat /local/pid)"}},
		{Path: "local/signal", Text: text, Signal: "SIGHUP"},
	}})
	j.await("running")
	j.awaitLog("listening")
	j.inTask("echo " + fmt.Sprint(j.pid()) + " > /local/pid")
	j.variable("two")
	j.awaitLog("signal hangup")
	j.awaitLog("signal user defined signal 1")
	if got := j.inTask("cat /local/seen"); got != "two" {
		t.Errorf("the script saw %q", got)
	}
}
