// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenLog(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		unix.Mkfifo(path("fifo"), 0o600),
		os.WriteFile(path("file"), nil, 0o600),
		os.Symlink(path("fifo"), path("link")),
	); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path string
		ok         bool
	}{
		{"a FIFO without a reader", path("fifo"), true},
		{"/dev/null, when logs are off", "/dev/null", true},
		{"a file in the FIFO's place", path("file"), false},
		{"a symlink in the FIFO's place", path("link"), false},
		{"another device", "/dev/zero", false},
		{"nothing", path("none"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fd, err := openLog(tt.path)
			if (err == nil) != tt.ok {
				t.Fatalf("got %v, want opened: %v", err, tt.ok)
			}
			if err == nil {
				flags, err := unix.FcntlInt(fd.Fd(), unix.F_GETFL, 0)
				if err != nil || flags&unix.O_NONBLOCK != 0 {
					t.Errorf("the task would not block on a full log: flags %o, %v", flags, err)
				}
				_ = fd.Close()
			}
		})
	}
}
