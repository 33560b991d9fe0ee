// SPDX-License-Identifier: MPL-2.0

package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const testdata Root = "testdata"

func TestGroupWithEveryController(t *testing.T) {
	before := time.Now()
	u, err := testdata.Usage("/full")
	if err != nil {
		t.Fatal(err)
	}
	if u.At.Before(before) || u.At.After(time.Now()) {
		t.Errorf("it was read at %s, want now", u.At)
	}
	cpu := CPU{
		Usage: has(90210734), User: has(61543210), System: has(28667524),
		Periods: has(1203), Throttled: has(17), ThrottledTime: has(845021),
	}
	memory := Memory{
		Current: has(43106304), Peak: has(61865984), Swap: has(1277952),
		Anon: has(21315584), File: has(17555456), Kernel: has(3821568), FileMapped: has(8921088),
	}
	if u.CPU != cpu || u.Memory != memory {
		t.Errorf("got %+v, want %+v and %+v", u, cpu, memory)
	}
	l, err := testdata.Load("/full")
	if err != nil {
		t.Fatal(err)
	}
	want := Load{
		Pids: has(7), IO: IO{has(4214784), has(1060864), has(133), has(79)},
		CPUStall:    Pressure{Stall{2.19, 3300666234, true}, Stall{0, 0, true}},
		MemoryStall: Pressure{Stall{0.11, 93878645, true}, Stall{0.06, 45641171, true}},
		IOStall:     Pressure{Stall{100, 160012345, true}, Stall{99.99, 158993101, true}},
	}
	if *l != want {
		t.Errorf("got %+v, want %+v", *l, want)
	}
}

func TestGroupWithoutControllers(t *testing.T) {
	u, err := testdata.Usage("bare/")
	if err != nil {
		t.Fatal(err)
	}
	cpu := CPU{Usage: has(11433318274), User: has(9433458098), System: has(1999860176)}
	if u.CPU != cpu || u.Memory != (Memory{}) {
		t.Errorf("got %+v, want %+v and no memory", u, cpu)
	}
	l, err := testdata.Load("bare")
	if err != nil {
		t.Fatal(err)
	}
	if want := (Load{CPUStall: Pressure{Some: Stall{0, 112, true}}}); *l != want {
		t.Errorf("got %+v, want %+v", *l, want)
	}
}

func TestGroupThatIsGone(t *testing.T) {
	if _, err := testdata.Usage("/gone.service"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
	if _, err := testdata.Load("/gone.slice/gone.service"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

// TestGroupThatGoesMeanwhile is about the moment between two files: what is read
// by then must not pass for a group without controllers.
func TestGroupThatGoesMeanwhile(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "web.service")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pids.current"), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Root(root).read("/web.service", []file{
		{"pids.current", func([]byte) error { return os.RemoveAll(dir) }},
		{"cpu.stat", func([]byte) error { return errors.New("it is still there") }},
	})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func TestWhatIsAbsent(t *testing.T) {
	for _, err := range []error{unix.ENOENT, unix.ENODEV, unix.EOPNOTSUPP} {
		if !absent(err) {
			t.Errorf("%v is an error, want a value that is not there", err)
		}
	}
	for _, err := range []error{nil, unix.EACCES, unix.EIO} {
		if absent(err) {
			t.Errorf("%v passes for a value that is not there", err)
		}
	}
}

func TestPathsThatAreRefused(t *testing.T) {
	for _, path := range []string{"", "/", "..", "/../testdata/full", "/full/..", "full/../full", "full\x00"} {
		_, err := testdata.Usage(path)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: got %v, want an error about the path", path, err)
		}
	}
	if _, err := testdata.Usage("a..b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("two dots in a name are no way up: %v", err)
	}
}

func TestErrorsNameTheFile(t *testing.T) {
	root := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, "cpu.stat"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := Root(filepath.Dir(root))
	group := "/" + filepath.Base(root)
	write("usage_usec many\n")
	want := "cannot read cpu.stat of control group " + group + `: usage_usec: "many" is not a number`
	if _, err := r.Usage(group); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	write(strings.Repeat("x 1\n", limit))
	if _, err := r.Usage(group); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("got %v, want an error that the file is too long", err)
	}
}

// TestLongFile guards the growth of the buffer.
func TestLongFile(t *testing.T) {
	root := t.TempDir()
	text := strings.Repeat("later_key 12345678901234567890\n", 3000) + "usage_usec 5\n"
	if err := os.WriteFile(filepath.Join(root, "cpu.stat"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := Root(filepath.Dir(root)).Usage(filepath.Base(root))
	if err != nil || u.CPU.Usage != has(5) {
		t.Errorf("got %+v, %v, want the last line of the file", u, err)
	}
}

func BenchmarkUsage(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := testdata.Usage("/full"); err != nil {
			b.Fatal(err)
		}
	}
}

// TestUsageIsCheap holds the cost of a sample down: it is paid once a second for
// each task.
func TestUsageIsCheap(t *testing.T) {
	const most = 20
	n := testing.AllocsPerRun(100, func() {
		if _, err := testdata.Usage("/full"); err != nil {
			t.Fatal(err)
		}
	})
	if n > most {
		t.Errorf("a sample takes %.0f allocations, want at most %d", n, most)
	}
}
