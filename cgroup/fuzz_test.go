// SPDX-License-Identifier: MPL-2.0

package cgroup

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// seed feeds a fuzz test with the real files of a name.
func seed(f *testing.F, name string) {
	f.Helper()
	paths, err := filepath.Glob("testdata/*/" + name)
	if err != nil || len(paths) == 0 {
		f.Fatalf("found no %s to begin with: %v", name, err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

// write is a line as the kernel writes it, none for what is not there.
func write(key string, c Count) string {
	if !c.OK {
		return ""
	}
	return fmt.Sprintf("%s %d\n", key, c.N)
}

func FuzzCPU(f *testing.F) {
	seed(f, "cpu.stat")
	f.Fuzz(func(t *testing.T, b []byte) {
		var c, again CPU
		if c.parse(b) != nil {
			return
		}
		text := write("usage_usec", c.Usage) + write("user_usec", c.User) + write("system_usec", c.System) +
			write("nr_periods", c.Periods) + write("nr_throttled", c.Throttled) + write("throttled_usec", c.ThrottledTime)
		if err := again.parse([]byte(text)); err != nil || again != c {
			t.Errorf("%q is %+v, but %q is %+v, %v", b, c, text, again, err)
		}
	})
}

func FuzzMemory(f *testing.F) {
	seed(f, "memory.stat")
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again Memory
		if m.parse(b) != nil {
			return
		}
		text := write("anon", m.Anon) + write("file", m.File) + write("kernel", m.Kernel) + write("file_mapped", m.FileMapped)
		if err := again.parse([]byte(text)); err != nil || again != m {
			t.Errorf("%q is %+v, but %q is %+v, %v", b, m, text, again, err)
		}
	})
}

func FuzzIO(f *testing.F) {
	seed(f, "io.stat")
	f.Fuzz(func(t *testing.T, b []byte) {
		var io, again IO
		if io.parse(b) != nil {
			return
		}
		text := fmt.Sprintf("8:0 rbytes=%d wbytes=%d rios=%d wios=%d\n", io.ReadBytes.N, io.WriteBytes.N, io.ReadOps.N, io.WriteOps.N)
		if err := again.parse([]byte(text)); err != nil || again != io {
			t.Errorf("%q is %+v, but %q is %+v, %v", b, io, text, again, err)
		}
	})
}

func FuzzPressure(f *testing.F) {
	seed(f, "*.pressure")
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Pressure
		if p.parse(b) != nil {
			return
		}
		for _, s := range []Stall{p.Some, p.Full} {
			if s.Avg10 < 0 || math.IsNaN(s.Avg10) || math.IsInf(s.Avg10, 0) {
				t.Errorf("%q has the average %v", b, s.Avg10)
			}
		}
	})
}

// FuzzCount holds our numbers against the standard library's.
func FuzzCount(f *testing.F) {
	seed(f, "*.current")
	f.Add([]byte("18446744073709551615"))
	f.Add([]byte("18446744073709551616"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, ok := number(b)
		want, err := strconv.ParseUint(string(b), 10, 64)
		if ok != (err == nil) || ok && n != want {
			t.Errorf("%q is %d, %v, want %d, %v", b, n, ok, want, err)
		}
		_ = new(Count).parse(b)
	})
}
