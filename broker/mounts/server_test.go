// SPDX-License-Identifier: MPL-2.0

package mounts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain runs the tests again in a mount namespace of their own; without root it
// takes a user namespace to do so, which some hosts do not give.
func TestMain(m *testing.M) {
	if os.Getenv("MOUNTS_TEST_INSIDE") != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			fmt.Fprintln(os.Stdout, "SKIP: this host lets nobody but root mount:", err)
			os.Exit(0)
		}
		os.Exit(m.Run())
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), "MOUNTS_TEST_INSIDE=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// world is a server with a client, and a directory of a client of the broker.
type world struct {
	*testing.T
	Client
	root   string
	server *Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t, Client{filepath.Join(dir, "s"), filepath.Join(dir, "mounts")}, filepath.Join(dir, "root"), nil}
	for _, d := range []string{"a/local", "b"} {
		if err := os.MkdirAll(filepath.Join(w.root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.write("a/local/file", "of a")
	w.write("b/file", "of b")
	s, err := NewServer(w.Dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.server = s
	t.Cleanup(func() { _ = unix.Unmount(w.Dir, unix.MNT_DETACH) })
	l, err := net.Listen("unixpacket", w.Socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) write(path, text string) {
	w.Helper()
	if err := os.WriteFile(filepath.Join(w.root, path), []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

func (w *world) open(m Mount) Mount {
	w.Helper()
	m.Root = w.root
	fd, err := Open(m)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = unix.Close(fd) })
	m.FD = fd
	return m
}

const unit = "nomad-web-0123456789abcdef.service"

func TestStage(t *testing.T) {
	w := newWorld(t)
	paths, _, err := w.Stage(t.Context(), unit, []Mount{
		w.open(Mount{Path: "a/local", SameMount: true}),
		w.open(Mount{Path: "b", ReadOnly: true}),
		w.open(Mount{Path: "b/file"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"/file=of a", "/file=of b", "=of b"} {
		file, text, _ := strings.Cut(want, "=")
		if got, err := os.ReadFile(paths[i] + file); err != nil || string(got) != text {
			t.Errorf("%s holds %q, %v, want %q", paths[i]+file, got, err, text)
		}
	}
	if err := os.WriteFile(paths[0]+"/new", nil, 0o600); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(paths[1]+"/new", nil, 0o600); !strings.Contains(errorText(err), "read-only") {
		t.Errorf("writing to what is read-only gives %v", err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(paths[0], &st); err != nil || st.Flags&unix.ST_NOSUID == 0 || st.Flags&unix.ST_NODEV == 0 {
		t.Errorf("its flags are %#x, %v, want nosuid and nodev", st.Flags, err)
	}
	if units, err := w.Staged(); err != nil || len(units) != 1 || units[0] != unit {
		t.Errorf("staged are %v, %v", units, err)
	}
	for range 2 { // again is no mistake
		if err := w.Unstage(t.Context(), unit); err != nil {
			t.Error(err)
		}
	}
	if units, err := w.Staged(); err != nil || len(units) != 0 {
		t.Errorf("afterwards there are %v, %v", units, err)
	}
	if _, err := os.Stat(filepath.Join(w.root, "a/local/file")); err != nil {
		t.Errorf("taking the mounts back removed what was mounted: %v", err)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestNextServerKnowsTheMounts: the one that made them may have died.
func TestNextServerKnowsTheMounts(t *testing.T) {
	w := newWorld(t)
	if _, _, err := w.Stage(t.Context(), unit, []Mount{w.open(Mount{Path: "b"})}); err != nil {
		t.Fatal(err)
	}
	next, err := NewServer(w.Dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := next.do(&request{Unit: unit}, nil); err != nil {
		t.Fatal(err)
	}
	if units, _ := w.Staged(); len(units) != 0 {
		t.Errorf("there are still %v", units)
	}
}

// TestWhatWasExchangedIsNotMounted: between the broker's look and the mount a client
// puts something else in the place.
func TestWhatWasExchangedIsNotMounted(t *testing.T) {
	for name, exchange := range map[string]func(*world) error{
		"by another directory": func(w *world) error {
			return unix.Renameat2(unix.AT_FDCWD, filepath.Join(w.root, "a/local"), unix.AT_FDCWD, filepath.Join(w.root, "b"), unix.RENAME_EXCHANGE)
		},
		"by a symlink": func(w *world) error {
			if err := os.Rename(filepath.Join(w.root, "a/local"), filepath.Join(w.root, "a/gone")); err != nil {
				return err
			}
			return os.Symlink("/etc", filepath.Join(w.root, "a/local"))
		},
		"a part of its path by a symlink": func(w *world) error {
			if err := os.Rename(filepath.Join(w.root, "a"), filepath.Join(w.root, "c")); err != nil {
				return err
			}
			return os.Symlink("c", filepath.Join(w.root, "a"))
		},
		"by nothing": func(w *world) error { return os.RemoveAll(filepath.Join(w.root, "a")) },
		"by a mount": func(w *world) error {
			place := filepath.Join(w.root, "a/local")
			w.Cleanup(func() { _ = unix.Unmount(place, unix.MNT_DETACH) })
			return unix.Mount("none", place, "tmpfs", 0, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			m := w.open(Mount{Path: "a/local", SameMount: true})
			if err := exchange(w); err != nil {
				t.Fatal(err)
			}
			if paths, _, err := w.Stage(t.Context(), unit, []Mount{w.open(Mount{Path: "b"}), m}); err == nil {
				t.Errorf("%v are mounted all the same", paths)
			}
			if units, _ := w.Staged(); len(units) != 0 {
				t.Errorf("there are mounts of %v", units)
			}
		})
	}
}

// TestReadOnlyIsNotWrittenTo: a unit that is to write learns it before it starts.
func TestReadOnlyIsNotWrittenTo(t *testing.T) {
	w := newWorld(t)
	place := filepath.Join(w.root, "b")
	if err := unix.Mount("none", place, "tmpfs", unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(place, unix.MNT_DETACH) })
	a := w.open(Mount{Path: "a/local"})
	_, _, err := w.Stage(t.Context(), unit, []Mount{a, w.open(Mount{Path: "b"})})
	if ro, is := errors.AsType[*ReadOnlyError](err); !is || ro.N != 1 {
		t.Errorf("got %v, want that of mount 1", err)
	}
	if units, _ := w.Staged(); len(units) != 0 {
		t.Errorf("there are mounts of %v", units)
	}
	if _, _, err := w.Stage(t.Context(), unit, []Mount{a, w.open(Mount{Path: "b", ReadOnly: true})}); err != nil {
		t.Errorf("to read: %v", err)
	}
}

// TestMappable: procfs has no mapping on any kernel.
func TestMappable(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can try")
	}
	if ok, fs, err := Mappable("/proc"); ok || fs == "" || err != nil {
		t.Errorf("/proc: %t, %q, %v", ok, fs, err)
	}
	if _, _, err := Mappable("/nonexistent"); err == nil {
		t.Error("what is not there can be mapped")
	}
}

func TestBadRequests(t *testing.T) {
	w := newWorld(t)
	good := w.open(Mount{Path: "b"})
	var many []Mount
	for range maxMounts + 1 {
		many = append(many, good)
	}
	device := good
	device.Root, device.Path = "/dev", "null"
	fd, err := Open(device)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	device.FD = fd
	for name, tt := range map[string]struct {
		unit   string
		mounts []Mount
		want   string
	}{
		"no unit":                    {"", []Mount{good}, "not the name of a unit"},
		"a unit elsewhere":           {"../x.service", []Mount{good}, "not the name of a unit"},
		"a unit of another kind":     {"x.mount", []Mount{good}, "not the name of a unit"},
		"too many":                   {unit, many, "more than"},
		"a device":                   {unit, []Mount{device}, "only directories and regular files"},
		"a path out of its root":     {unit, []Mount{{Root: w.root + "/a", Path: "../b", FD: good.FD}}, "cannot be opened"},
		"an absolute path":           {unit, []Mount{{Root: w.root, Path: "/etc", FD: good.FD}}, "cannot be opened"},
		"a root that is not there":   {unit, []Mount{{Root: "/nonexistent", Path: "x", FD: good.FD}}, "cannot open"},
		"a descriptor of other file": {unit, []Mount{{Root: w.root, Path: "a", FD: good.FD}}, "not what it was"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := w.Stage(t.Context(), tt.unit, tt.mounts)
			if !strings.Contains(errorText(err), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if units, _ := w.Staged(); len(units) != 0 {
		t.Errorf("there are mounts of %v", units)
	}
}

// reads are what reads of a socket give, one after the other; "" is its end.
type reads []string

func (r *reads) ReadMsgUnix(b, _ []byte) (n, oobn, flags int, addr *net.UnixAddr, err error) {
	text := (*r)[0]
	if *r = (*r)[1:]; text == "" {
		return 0, 0, 0, nil, io.EOF
	}
	return copy(b, text), 0, 0, nil, nil
}

func TestAnswerAfterItsEnd(t *testing.T) {
	var a answer
	if _, err := receive(&reads{"", `{"error":"x"}`}, &a); err != nil || a.Error != "x" {
		t.Errorf("got %v, %v", a, err)
	}
	if _, err := receive(&reads{"", ""}, &a); !errors.Is(err, io.EOF) {
		t.Errorf("of no message it says %v", err)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"unit":"a.service","mounts":[{"root":"/","path":"x"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		ours := os.NewFile(uintptr(pair[0]), "ours")
		defer unix.Close(pair[1]) //nolint:errcheck // nothing is lost
		conn, err := net.FileConn(ours)
		_ = ours.Close()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if len(text) == 0 || unix.Send(pair[1], text, 0) != nil {
			return
		}
		var r request
		fds, err := receive(conn.(*net.UnixConn), &r)
		closeAll(fds)
		if err == nil && r.check(len(r.Mounts)) == nil && filepath.Base(r.Unit) != r.Unit {
			t.Errorf("%q is taken for the name of a unit", r.Unit)
		}
	})
}

// TestRequestsWaitForEachOther, and one whose sender did not wait is not heeded.
func TestRequestsWaitForEachOther(t *testing.T) {
	w := newWorld(t)
	for range atOnce {
		w.server.working <- struct{}{}
	}
	impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if paths, _, err := w.Stage(impatient, "nomad-early-0123456789abcdef.service", []Mount{w.open(Mount{Path: "a/local"})}); err == nil {
		t.Errorf("one too many was answered with %v", paths)
	}
	answered := make(chan error, 1)
	later := w.open(Mount{Path: "b"})
	go func() {
		_, _, err := w.Stage(t.Context(), unit, []Mount{later})
		answered <- err
	}()
	<-w.server.working // one of the two goes on, and then the other
	if err := <-answered; err != nil {
		t.Errorf("the one that waited got %v", err)
	}
	w.server.working <- struct{}{} // the other is over, too
	if units, err := w.Staged(); err != nil || len(units) != 1 || units[0] != unit {
		t.Errorf("staged are %v, %v", units, err)
	}
}

// TestIDsAreMapped: what belongs to the client on disk is the unit's user's in the
// view, and the mounts of one unit share a namespace.
func TestIDsAreMapped(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	w := newWorld(t)
	for _, path := range []string{"a/local", "a/local/file", "b"} {
		if err := os.Chown(filepath.Join(w.root, path), 4242, 4243); err != nil {
			t.Skipf("this host's root cannot give files away: %v", err)
		}
	}
	to := &User{UID: 61200, GID: 61201}
	paths, unmapped, err := w.Stage(t.Context(), unit, []Mount{
		w.open(Mount{Path: "a/local", Map: to}), w.open(Mount{Path: "b", Map: to}), w.open(Mount{Path: "a/local"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	owner := func(path string) [2]uint32 {
		t.Helper()
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		return [2]uint32{st.Uid, st.Gid}
	}
	got := owner(paths[0])
	if unmapped != (got == [2]uint32{4242, 4243}) {
		t.Errorf("it is said to be unmapped: %t; the owner is %v", unmapped, got)
	}
	if unmapped {
		t.Skip("the file system of this host's temporary files maps no ids")
	}
	for path, want := range map[string][2]uint32{
		paths[0]: {61200, 61201}, paths[0] + "/file": {61200, 61201}, paths[1]: {61200, 61201},
		paths[1] + "/file": {65534, 65534}, // root's is nobody's
		paths[2]:           {4242, 4243},
	} {
		if got := owner(path); got != want {
			t.Errorf("%s belongs to %v, want %v", path, got, want)
		}
	}
	if _, unmapped, err := w.Stage(t.Context(), unit, []Mount{w.open(Mount{Path: "b", Map: to}), w.open(Mount{Path: "a", Map: to})}); !unmapped || err != nil {
		t.Errorf("what is root's is said to be mapped, %v", err)
	}
	place := filepath.Join(w.root, "a/local")
	if err := unix.Mount("none", place, "ramfs", 0, ""); err != nil { // which maps no ids
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(place, unix.MNT_DETACH) })
	if err := os.Chown(place, 4242, 4243); err != nil {
		t.Fatal(err)
	}
	paths, unmapped, err = w.Stage(t.Context(), unit, []Mount{w.open(Mount{Path: "a/local", Map: to})})
	if err != nil || !unmapped || owner(paths[0]) != [2]uint32{4242, 4243} {
		t.Errorf("on a file system that maps no ids: unmapped %t, %v", unmapped, err)
	}
}

func TestNothingIsMappedToRoot(t *testing.T) {
	w := newWorld(t)
	if _, _, err := w.Stage(t.Context(), unit, []Mount{w.open(Mount{Path: "b", Map: &User{GID: 5}})}); err == nil || !strings.Contains(err.Error(), "root's") {
		t.Errorf("got %v", err)
	}
}

// TestDirectoryIsRootsAlone: and the one it is in is everybody's, whatever the umask.
func TestDirectoryIsRootsAlone(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	shared := filepath.Join(t.TempDir(), "run", "host")
	dir := filepath.Join(shared, "systemd-brokerd")
	for range 2 {
		if err := makeDirectory(dir); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]os.FileMode{shared: 0o755, dir: 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v: %v", path, info.Mode().Perm(), want, err)
		}
	}
}
