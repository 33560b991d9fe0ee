// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// spinners are what a client may do, over and over, to what the broker is to take. Each
// prepares what it needs beside it, as root, and returns what is done as the client.
var spinners = map[string]func(t *testing.T, s *site) (step func() error){
	// A symlink takes its place in one step.
	"exchange": func(t *testing.T, s *site) func() error {
		must(t, os.Symlink(s.secret, s.path+".other"))
		return exchange(s.path)
	},
	// It is gone for a moment, then a symlink, then there again.
	"symlink": func(_ *testing.T, s *site) func() error {
		return func() error {
			return errors.Join(unix.Rename(s.path, s.path+".kept"), unix.Symlink(s.secret, s.path),
				unix.Unlink(s.path), unix.Rename(s.path+".kept", s.path))
		}
	},
	// A FIFO, at which a careless open(2) waits for ever.
	"fifo": func(t *testing.T, s *site) func() error {
		must(t, unix.Mkfifo(s.path+".other", 0o600), os.Chown(s.path+".other", s.uid, s.gid))
		return exchange(s.path)
	},
	// A directory of somebody else, which the client could not have got there.
	"foreign": func(t *testing.T, s *site) func() error {
		s.canaries(t, s.path+".other", s.owner)
		return exchange(s.path)
	},
	// A further name of a file of root's that everybody may write to.
	"hardlink": func(t *testing.T, s *site) func() error {
		public := filepath.Join(filepath.Dir(s.dirs.GetAlloc()), "public")
		must(t, os.WriteFile(public, []byte(canaryText), 0o666), os.Chmod(public, 0o666), os.Chown(public, 0, 0))
		must(t, as(s, func() error { return os.Link(public, s.path+".other") }))
		return exchange(s.path)
	},
	// A mount, which the kernel lets it make in namespaces of its own only.
	"mount": func(t *testing.T, s *site) func() error {
		from := s.path + ".other"
		must(t, os.Mkdir(from, 0o755), os.WriteFile(from+"/canary", []byte(canaryText), 0o644), os.Chown(from, s.uid, s.gid))
		own := exec.CommandContext(t.Context(), "unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
			`mount --bind "$1" "$2" && umount "$2" && echo mounts && while mount --bind "$1" "$2" && umount "$2"; do :; done`, "sh", from, s.path)
		own.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(s.uid), Gid: uint32(s.gid)}}
		out, err := own.StdoutPipe()
		must(t, err, own.Start())
		if n, err := out.Read(make([]byte, 16)); n == 0 {
			t.Fatalf("the client cannot mount anything in namespaces of its own: %v", err)
		}
		t.Cleanup(func() { _ = own.Process.Kill(); _ = own.Wait() })
		return func() error {
			if err := unix.Mount(from, s.path, "", unix.MS_BIND, ""); !errors.Is(err, unix.EPERM) {
				return fmt.Errorf("mount(2) of the client: %w", err)
			}
			return nil
		}
	},
}

// exchange changes places with what is beside it.
func exchange(path string) func() error {
	return func() error {
		return unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, path+".other", unix.RENAME_EXCHANGE)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// as does something with the client's credentials, on a thread that ends with it.
func as(s *site, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked
		done <- errors.Join(become(s.uid, s.gid), do())
	}()
	return <-done
}

// spin repeats step as the client, until what it returns is called: how often it did.
func spin(t *testing.T, s *site, step func() error) (stop func() int) {
	t.Helper()
	times, enough, done := 0, make(chan struct{}), make(chan error, 1)
	go func() {
		done <- as(s, func() error {
			for {
				if err := step(); err != nil {
					return err
				}
				times++
				select {
				case <-enough:
					return nil
				default:
				}
			}
		})
	}()
	return func() int {
		close(enough)
		if err := <-done; err != nil {
			t.Errorf("the client cannot do this, so that it shows nothing: %v", err)
		}
		return times
	}
}
