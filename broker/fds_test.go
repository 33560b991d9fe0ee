// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

func openFIFO(t *testing.T, flags int) int {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func open(t *testing.T, path string, flags int) int {
	t.Helper()
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func TestCheckLogFD(t *testing.T) {
	me := uint32(os.Getuid())
	file := filepath.Join(t.TempDir(), "file")
	tests := []struct {
		name string
		fd   int
		uid  uint32
		ok   bool
	}{
		{"the client's FIFO", openFIFO(t, unix.O_RDWR), me, true},
		{"/dev/null", open(t, "/dev/null", unix.O_WRONLY), me, true},
		{"somebody else's FIFO", openFIFO(t, unix.O_RDWR), me + 1, false},
		{"a FIFO open for reading", openFIFO(t, unix.O_RDONLY), me, false},
		{"a FIFO opened as a path", openFIFO(t, unix.O_PATH), me, false},
		{"a file", open(t, file, unix.O_RDWR|unix.O_CREAT), me, false},
		{"another device", open(t, "/dev/zero", unix.O_RDWR), me, false},
		{"a directory", open(t, t.TempDir(), unix.O_RDONLY|unix.O_DIRECTORY), me, false},
		{"no descriptor", -1, me, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := checkLogFD(tt.fd, tt.uid); (err == nil) != tt.ok {
				t.Errorf("got %v, want accepted: %v", err, tt.ok)
			}
		})
	}
}

func TestFDStoreGivesDescriptorsToTheirOwnerOnce(t *testing.T) {
	s := newFDStore()
	key := fdKey{1000, "token"}
	if err := s.put(key, descriptors{3, 4}); err != nil {
		t.Fatal(err)
	}
	if err := s.put(key, descriptors{5, 6}); err == nil {
		t.Error("a token was taken twice")
	}
	if fds := s.take(fdKey{1001, "token"}); fds != nil {
		t.Error("another uid took the descriptors")
	}
	if fds := s.take(key); !slices.Equal(fds, descriptors{3, 4}) {
		t.Errorf("got %v", fds)
	}
	if fds := s.take(key); fds != nil {
		t.Error("the descriptors were given twice")
	}
}

func TestFDStoreBoundsWhatWaits(t *testing.T) {
	s := newFDStore()
	for i := range maxWaitingFDs {
		key := fdKey{1000, string(rune('a' + i))}
		if err := s.put(key, descriptors{-1, -1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.put(fdKey{1000, "one more"}, descriptors{-1, -1}); err == nil {
		t.Error("one more than the limit was accepted")
	}
	if err := s.put(fdKey{1001, "another"}, descriptors{-1, -1}); err != nil {
		t.Errorf("another client is held up: %v", err)
	}
}

// TestManyRefusalsLeaveNoDescriptors: of every kind that a call or a
// hand-over has.
func TestManyRefusalsLeaveNoDescriptors(t *testing.T) {
	rounds := 200
	if testing.Short() {
		rounds = 20
	}
	w := newWorld(t)
	refused := func() {
		token := w.handOverNull(2)
		spec := w.spec("a/1")
		spec.Command = "/usr/bin/no-rule-has-this"
		spec.Logging = &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_FDS, FdToken: token}
		if _, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: spec}); err == nil {
			t.Fatal("allowed")
		}
		spec.Id = ""
		if _, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: spec}); err == nil {
			t.Fatal("accepted")
		}
		if err := w.exec(w.ctx(), &brokerv1.ExecInUnitRequest{Spec: spec, FdToken: w.handOverNull(3)}); err == nil {
			t.Fatal("accepted")
		}
		if got := w.handOver("short"); got == "ok" {
			t.Fatal("accepted")
		}
	}
	refused() // connections are there now
	before := openFDs(t)
	for range rounds {
		refused()
	}
	if after := openFDs(t); after > before+2 { // a hand-over may be about to close
		t.Errorf("%d descriptors were open before and %d are after %d rounds", before, after, rounds)
	}
}
