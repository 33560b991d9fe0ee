// SPDX-License-Identifier: MPL-2.0

package opening

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// must fails the test at the first error.
func must(t *testing.T, all ...error) {
	t.Helper()
	for _, err := range all {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// modes checks the modes of files.
func modes(t *testing.T, want map[string]fs.FileMode) {
	t.Helper()
	for path, mode := range want {
		if st, err := os.Stat(path); err != nil || st.Mode()&(fs.ModePerm|fs.ModeSticky) != mode {
			t.Errorf("%s is %v, %v, want %v", path, st.Mode(), err, mode)
		}
	}
}

// TestOpen: what is left can be removed by whoever may write to the root, and what
// could be anyway is as it was.
func TestOpen(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	t.Chdir(root)
	must(t,
		os.MkdirAll("a/b/empty", 0o700), os.WriteFile("a/b/file", nil, 0o400),
		os.Mkdir("sticky", 0o700), os.WriteFile("sticky/file", nil, 0o400), os.Chmod("sticky", 0o777|fs.ModeSticky),
		os.Mkdir("closed", 0o755), os.Mkdir("closed/in", 0o700), os.Chmod("closed", 0),
		os.Mkdir("open", 0o755), os.WriteFile("open/file", nil, 0o400), os.Chmod("open", 0o757),
		os.Symlink(outside, "link"), os.WriteFile(outside+"/file", nil, 0o400), os.Chmod(outside, 0o700), unix.Mkfifo("fifo", 0o600),
	)
	if err := Open(root); err != nil {
		t.Error(err)
	}
	modes(t, map[string]fs.FileMode{
		".": 0o777, "a": 0o777, "a/b": 0o777, "a/b/empty": 0o700, "a/b/file": 0o400, "sticky": 0o777, "closed": 0o777, "closed/in": 0o700,
		"open": 0o757, "fifo": 0o600, outside: 0o700,
	})
}

// deep makes a tree in the working directory that is deeper than a path can be long.
func deep(t *testing.T, depth int) {
	t.Helper()
	name := strings.Repeat("x", 100)
	for range depth {
		must(t, os.Mkdir(name, 0o700), unix.Chdir(name))
	}
	must(t, os.WriteFile("file", nil, 0o400))
}

// TestDeepTreesCanBeRemoved with fewer descriptors than a tree has levels.
func TestDeepTreesCanBeRemoved(t *testing.T) {
	defer func(depth int) { maxDepth = depth }(maxDepth)
	maxDepth = 100
	for name, do := range map[string]func(string) bool{
		"by others": func(root string) bool { return Open(root) == nil }, "by the owner": func(root string) bool { return Own(root) == nil },
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			t.Chdir(root)
			deep(t, 2*maxDepth+10)
			must(t, unix.Chdir(root))
			if !do(root) {
				t.Error("it fails")
			}
			var limit unix.Rlimit
			must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
			few := limit
			few.Cur = uint64(maxDepth) + 50
			must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &few))
			defer func() { must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) }()
			entries, err := os.ReadDir(root)
			must(t, err)
			if len(entries) != 3 {
				t.Errorf("there are %v, want the tree in three parts", entries)
			}
			for _, e := range entries {
				must(t, os.RemoveAll(filepath.Join(root, e.Name())))
			}
		})
	}
}

func TestOpenGoesOn(t *testing.T) {
	root := t.TempDir()
	must(t, os.Mkdir(filepath.Join(root, "a"), 0o700), os.WriteFile(filepath.Join(root, "a/file"), nil, 0o400))
	err := Open(filepath.Join(root, "nosuch"), root)
	if err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("got %v", err)
	}
	modes(t, map[string]fs.FileMode{filepath.Join(root, "a"): 0o777})
}

const agent = 4711

// asAgent calls do with the rights of a user without privileges, to files alone.
func asAgent(t *testing.T, do func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with this
		_, _ = unix.SetfsuidRetUid(agent)
		do()
	}()
	<-done
}

// TestOwn: the agent takes back what is its own, with no more rights than it needs, and
// sees what it cannot remove.
func TestOwn(t *testing.T) {
	for _, tt := range []struct {
		name  string
		make  func() error
		owner int
		mode  fs.FileMode // before
		want  fs.FileMode // after
		all   bool
	}{
		{"its own", nil, agent, 0o500, 0o700, true},
		{"its own, closed", nil, agent, 0, 0o700, true},
		{"its own, for others to read", nil, agent, 0o555 | fs.ModeSticky, 0o755 | fs.ModeSticky, true},
		{"its own, as it must be", nil, agent, 0o750, 0o750, true},
		{"another's", nil, 1, 0o755, 0o755, false},
		{"another's, closed", nil, 1, 0o700, 0o700, false},
		{"another's, open", nil, 1, 0o777, 0o777, true},
		{"another's, sticky", nil, 1, 0o777 | fs.ModeSticky, 0o777 | fs.ModeSticky, false},
		{"another's, empty", func() error { return os.Remove("dir/file") }, 1, 0o755, 0o755, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, err := os.MkdirTemp("", "own") // that of t.TempDir is in one that is root's alone
			must(t, err)
			defer os.RemoveAll(root) //nolint:errcheck // of a test
			t.Chdir(root)
			must(t, os.Chown(root, agent, agent), os.Mkdir("dir", 0o700), os.WriteFile("dir/file", nil, 0o400))
			if tt.make != nil {
				must(t, tt.make())
			}
			must(t, os.Chown("dir", tt.owner, tt.owner), os.Chmod("dir", tt.mode))
			var before, after error
			asAgent(t, func() { before = first(walk(root, func(dir directory) error { return removable(dir, agent) })) })
			modes(t, map[string]fs.FileMode{"dir": tt.mode})
			asAgent(t, func() { after = first(walk(root, func(dir directory) error { return own(dir, agent) })) })
			for _, err := range []error{before, after} {
				others, ok := errors.AsType[*OthersError](err)
				if (err == nil) != tt.all || ok && int(others.UID) != tt.owner {
					t.Errorf("got %v; all of it can be removed: %t", err, tt.all)
				}
			}
			modes(t, map[string]fs.FileMode{"dir": tt.want})
		})
	}
}

// TestWhatIsGoneIsNoObstacle.
func TestWhatIsGoneIsNoObstacle(t *testing.T) {
	another := errors.New("another")
	if Own(filepath.Join(t.TempDir(), "nosuch")) != nil || !errors.Is(first([]error{fs.ErrNotExist, another}), another) {
		t.Error("what is gone counts, or what is not does not")
	}
}
