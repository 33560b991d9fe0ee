// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/policy"
)

type noUsers struct{}

func (noUsers) User(string) (policy.User, error) { return policy.User{}, policy.ErrUnknown }
func (noUsers) Group(string) (uint32, error)     { return 0, policy.ErrUnknown }

// host is a reloader that runs on the policy in a directory of its own, and what
// it did.
type host struct {
	t        *testing.T
	dir      string // the policy's
	reloader *reloader
	hup      chan os.Signal
	applied  chan *policy.Policy
	refused  chan error
	onLoad   func() // called between reading and returning

	mu    sync.Mutex
	state []string // sent to systemd
	loads int
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{
		t: t, dir: filepath.Join(t.TempDir(), "policy.d"), hup: make(chan os.Signal, 1),
		applied: make(chan *policy.Policy, 16), refused: make(chan error, 16), onLoad: func() {},
	}
	h.do(os.Mkdir(h.dir, 0o755))
	h.write("a.hcl", 1)
	h.reloader = &reloader{
		load: func() (*policy.Policy, error) {
			p, err := policy.Load(os.DirFS(h.dir), noUsers{}, nil)
			h.mu.Lock()
			h.loads++
			h.mu.Unlock()
			h.onLoad()
			return p, err
		},
		apply:  func(_ context.Context, p *policy.Policy) error { h.applied <- p; return nil },
		refuse: func(err error) { h.refused <- err },
		notify: func(s string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.state = append(h.state, s)
		},
	}
	w, err := watchPolicy(h.dir)
	h.do(err)
	h.reloader.watch = w
	return h
}

// run starts the reloader, which has the policy that is there.
func (h *host) run() {
	if _, err := h.reloader.first(); err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.reloader.loop(ctx, h.hup)
	}()
	h.t.Cleanup(func() {
		cancel()
		<-done
		h.reloader.close()
	})
}

func (h *host) do(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func text(uid int) string {
	return fmt.Sprintf("version = 1\nclient \"c\" {\n  uid = %d\n  unit_prefix = \"c\"\n  slice = \"c.slice\"\n  alloc_root = \"/srv\"\n  max_units = 1\n}\n", uid)
}

// write makes a policy whose client has this uid.
func (h *host) write(name string, uid int) {
	h.t.Helper()
	h.do(os.WriteFile(filepath.Join(h.dir, name), []byte(text(uid)), 0o600))
}

// wants waits for a policy to be put in force whose client has this uid.
func (h *host) wants(uid int) {
	h.t.Helper()
	select {
	case p := <-h.applied:
		if got := p.Clients()[0].UID; got != uint32(uid) {
			h.t.Errorf("the policy in force is that of uid %d, want %d", got, uid)
		}
	case err := <-h.refused:
		h.t.Fatalf("refused: %v", err)
	case <-time.After(20 * time.Second):
		h.t.Fatal("the policy is not loaded")
	}
}

func (h *host) wantsRefusal(part string) {
	h.t.Helper()
	select {
	case p := <-h.applied:
		h.t.Fatalf("a policy of %d clients was put in force", len(p.Clients()))
	case err := <-h.refused:
		if !strings.Contains(err.Error(), part) {
			h.t.Errorf("refused with %v, want %q", err, part)
		}
	case <-time.After(20 * time.Second):
		h.t.Fatal("the policy is not loaded")
	}
}

func (h *host) states() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.state...)
}

func TestPolicyIsLoadedWhenItsFilesChange(t *testing.T) {
	h := newHost(t)
	h.run()
	h.write("a.hcl", 2) // in place
	h.wants(2)
	h.write(".a.hcl.new", 3) // by a rename, as editors do
	h.do(os.Rename(filepath.Join(h.dir, ".a.hcl.new"), filepath.Join(h.dir, "a.hcl")))
	h.wants(3)
	h.write("b.hcl", 4)
	h.wantsRefusal("b.hcl:2")
	h.do(os.Remove(filepath.Join(h.dir, "b.hcl")))
	h.wants(3) // it is whole again
}

// TestWhatNobodyWritesIsNoticed: a link, a FIFO; a file that is being made is not read.
func TestWhatNobodyWritesIsNoticed(t *testing.T) {
	h := newHost(t)
	h.run()
	for _, make := range []func(string) error{
		func(path string) error { return unix.Mkfifo(path, 0o600) },
		func(path string) error { return os.Symlink("a.hcl", path) },
		func(path string) error { return os.Link(filepath.Join(h.dir, "a.hcl"), path) }, // whose client is there twice
	} {
		h.do(make(filepath.Join(h.dir, "b.hcl")))
		h.wantsRefusal("b.hcl")
		h.do(os.Remove(filepath.Join(h.dir, "b.hcl")))
		h.wants(1)
	}
	f, err := os.OpenFile(filepath.Join(h.dir, "b.hcl"), os.O_CREATE|os.O_WRONLY, 0o600)
	h.do(err)
	if h.reloader.watch.isWhole("b.hcl") {
		t.Error("a file that is being written is read")
	}
	h.do(f.Close())
	h.wantsRefusal("b.hcl:1") // it is empty
}

func TestPolicyWithAMistakeIsShownAndNotTaken(t *testing.T) {
	h := newHost(t)
	h.run()
	h.do(os.WriteFile(filepath.Join(h.dir, "b.hcl"), []byte("version = 1\nrule \"x\" {\n  cleint = 1\n}\n"), 0o600))
	h.wantsRefusal("cleint")
	h.write("b.hcl", 1)
	h.wantsRefusal("b.hcl:2")
	status := h.states()[0]
	if !strings.HasPrefix(status, "STATUS=The last reload failed: ") || !strings.Contains(status, "b.hcl:3") ||
		strings.Contains(status, "\n") || !strings.HasSuffix(status, " in force.") {
		t.Errorf("systemctl status shows %q", status)
	}
}

func TestDirectoryThatIsReplacedIsWatched(t *testing.T) {
	h := newHost(t)
	h.run()
	h.do(os.Rename(h.dir, h.dir+".away"))
	h.wantsRefusal("cannot read the policy directory")
	h.do(os.Rename(h.dir+".away", h.dir))
	h.wants(1)
	h.do(os.Rename(h.dir, h.dir+".old"))
	h.do(os.Mkdir(h.dir, 0o755))
	h.write("a.hcl", 5)
	h.wants(5)
	h.write("a.hcl", 6)
	h.wants(6)
}

// TestPolicyThatChangesWhileItIsReadIsReadAgain: what was read may be half of each.
func TestPolicyThatChangesWhileItIsReadIsReadAgain(t *testing.T) {
	h := newHost(t)
	changing := make(chan struct{}, 1)
	h.onLoad = func() {
		select {
		case <-changing:
			h.write("a.hcl", 3)
			// The event is there before the load ends.
			for len(h.reloader.watch.changes()) == 0 && h.t.Context().Err() == nil {
				time.Sleep(time.Millisecond) //nolint:forbidigo // the channel's token is for the reloader
			}
		default:
		}
	}
	h.run()
	changing <- struct{}{}
	h.write("a.hcl", 2)
	h.wants(3)
}

func TestPolicyThatIsTheSameIsNotPutInForceAgain(t *testing.T) {
	h := newHost(t)
	h.run()
	h.write("a.hcl", 1)
	for deadline := time.Now().Add(20 * time.Second); ; {
		h.mu.Lock()
		loads := h.loads
		h.mu.Unlock()
		if loads == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d loads", loads)
		}
		time.Sleep(time.Millisecond) //nolint:forbidigo // nothing tells of a load without effect
	}
	h.write("a.hcl", 2)
	h.wants(2)
}

func TestHangupLoadsAnyway(t *testing.T) {
	h := newHost(t)
	h.reloader.close()
	h.reloader.watch = nil
	h.run()
	h.hup <- unix.SIGHUP
	h.wants(1)
	h.do(os.Remove(filepath.Join(h.dir, "a.hcl")))
	h.hup <- unix.SIGHUP
	h.wantsRefusal("holds no file")
	if got := h.states(); len(got) < 3 || got[0] != "RELOADING=1" || !strings.HasPrefix(got[1], "READY=1\nSTATUS=Policy ") || got[2] != "RELOADING=1" {
		t.Errorf("systemd is told %q", got)
	}
}

func TestStartWithoutAPolicyDeniesAll(t *testing.T) {
	h := newHost(t)
	h.do(os.Remove(filepath.Join(h.dir, "a.hcl")))
	p, err := h.reloader.first()
	if err == nil || len(p.Clients()) != 0 {
		t.Fatalf("got %v, %v", p, err)
	}
	if status := h.reloader.status(err); !strings.HasPrefix(status, "Denying all: the policy cannot be loaded: the policy directory holds no file") {
		t.Errorf("without a file the status is %q", status)
	}
	h.do(os.WriteFile(filepath.Join(h.dir, "b.hcl"), []byte("version = 1\nrule \"x\" {\n  clent = 1\n}\n"), 0o600))
	if _, err = h.reloader.first(); !strings.Contains(h.reloader.status(err), ": b.hcl:3:3: ") || strings.Contains(h.reloader.status(err), "\n") {
		t.Errorf("of a broken file the status is %q", h.reloader.status(err))
	}
	h.reloader.close()
}

func TestWhichEventsMatter(t *testing.T) {
	w := &policyWatch{suffix: map[string]string{"policy.d": ".hcl", "profiles": ".conf"}}
	event := func(mask uint32, name string) []byte {
		b := make([]byte, unix.SizeofInotifyEvent, 64)
		padded := name + strings.Repeat("\x00", 16-len(name)%16)
		binary.NativeEndian.PutUint32(b[4:], mask)
		binary.NativeEndian.PutUint32(b[12:], uint32(len(padded)))
		return append(b, padded...)
	}
	for name, want := range map[string]bool{
		"a.hcl": true, "a.conf": true, "policy.d": true, "profiles": true,
		".a.hcl.swp": false, "a.hcl~": false, ".a.hcl": false, "4913": false, "": false,
	} {
		if got := w.matters(event(unix.IN_CLOSE_WRITE, name)); got != want {
			t.Errorf("%q: got %v", name, got)
		}
	}
	if !w.matters(append(event(unix.IN_CREATE, "x"), event(unix.IN_Q_OVERFLOW, "")...)) {
		t.Error("lost events do not matter")
	}
	if !w.matters(append(event(unix.IN_CREATE, "x"), event(unix.IN_DELETE, "a.hcl")...)) {
		t.Error("a second event does not matter")
	}
	if w.matters(nil) || w.matters(make([]byte, 7)) {
		t.Error("too few bytes matter")
	}
}
