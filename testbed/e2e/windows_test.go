// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"errors"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// moments are steps of a start, in order, at which the broker, or the program that
// mounts for it, waits while the client exchanges something. What comes first among
// mounts is a directory of the task.
var moments = []string{
	"start/decided", "start/reserved", "start/root", "start/credential", "start/files", "start/opened",
	"mounts/directory", "mounts/opened", "mounts/mapped", "mounts/target", "mounts/moved", "start/staged", "start/request",
}

// TestWindows: at each moment between the decision and the start, what the client puts
// in the place of something is refused, or too late.
func TestWindows(t *testing.T) {
	for unit, verb := range map[string]string{"systemd-brokerd.service": "serve", "systemd-brokerd-mounts.service": "mounts"} {
		dropIn(t, unit, "ExecStart=\nExecStart="+crashing+" "+verb)
	}
	for _, tt := range []struct {
		name, attack string
		prepare      func(t *testing.T, s *site)
		// last is the last moment at which it is refused; not is one that there is not.
		last, not string
	}{
		{"a symlink for a directory", "exchange", func(t *testing.T, s *site) { s.path = s.dirs.GetAlloc(); s.searches(t, "/alloc/canary") }, "mounts/directory", "start/credential"},
		{"a directory of root's for a directory", "foreign", func(t *testing.T, s *site) { s.path = s.dirs.GetAlloc(); s.searches(t, "/alloc/canary") }, "mounts/directory", "start/credential"},
		{"a symlink for a volume", "exchange", func(t *testing.T, s *site) { s.volume(t, "/opt", &brokerv1.Volume{}) }, "mounts/moved", "start/credential"},
		{"a FIFO for a volume", "fifo", func(t *testing.T, s *site) { s.volume(t, "/opt", &brokerv1.Volume{}) }, "mounts/moved", "start/credential"},
		{"a symlink for an image", "exchange", func(t *testing.T, s *site) { s.image(t) }, "mounts/moved", "start/credential"},
		{"a symlink for a credential", "exchange", func(t *testing.T, s *site) { s.key(t) }, "start/root", ""},
		{"a FIFO for a credential", "fifo", func(t *testing.T, s *site) { s.key(t) }, "start/root", ""},
		{"a hard link for a credential", "hardlink", func(t *testing.T, s *site) { s.key(t) }, "start/root", ""},
	} {
		for i, moment := range moments {
			if moment == tt.not {
				continue
			}
			t.Run(tt.name+"/"+moment, func(t *testing.T) {
				s := newSite(t)
				tt.prepare(t, s)
				change := spinners[tt.attack](t, s)
				got := at(t, moment, func() error { return as(s, change) }, func() int { return s.ask(t) })
				switch refused := i <= slices.Index(moments, tt.last); {
				case got == 0:
					t.Error("the task has read what is not its client's")
				case refused != (got == -1):
					t.Errorf("the task exits with %d (-1: it is refused), want a refusal: %t", got, refused)
				}
			})
		}
	}
}

// at has the broker wait at a step of what ask does while something is changed.
func at(t *testing.T, step string, change func() error, ask func() int) int {
	t.Helper()
	const fifo = armed + ".fifo"
	must(t, unix.Mkfifo(fifo, 0o600), os.WriteFile(armed, []byte(step+" waits"), 0o600))
	defer func() { _, _ = os.Remove(armed), os.Remove(fifo) }()
	changed := make(chan error, 1)
	go func() {
		f, err := os.OpenFile(fifo, os.O_WRONLY, 0) // when the broker reads it
		if err == nil {
			err = errors.Join(change(), f.Close())
		}
		changed <- err
	}()
	got := ask()
	if _, err := os.Stat(armed); err == nil {
		t.Error("the broker was never there, so that this shows nothing")
		reader, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
		must(t, err)
		defer reader.Close()
	}
	must(t, <-changed)
	return got
}
