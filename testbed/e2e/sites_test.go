// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// site is where a client exchanges what it asks the broker to take.
type site struct {
	api      brokerv1.BrokerServiceClient
	uid, gid int
	dirs     *brokerv1.Directories
	// path is what the client can exchange: a directory, or a file.
	path string
	// secret is what it would like to have taken instead: of root's, or of owner's.
	secret string
	owner  int
	// spec is a task that exits with 0 if it finds the canary.
	spec *brokerv1.UnitSpec
	// ask has the broker take path: 0 if that led to the canary, -1 if it is refused.
	ask func(t *testing.T) int
}

const canaryText = "root's"

// newSite makes the directories of a task, and secrets that no other user can reach.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{uid: idOf(t, "-u", "nomad"), gid: idOf(t, "-g", "nomad"), secret: "/root/e2e-races"}
	s.dirs = raceDirectories(t, s.uid, s.gid)
	s.api = brokerAs(t, s.uid, s.gid)
	s.spec = catsCanary(s.dirs)
	s.ask = func(t *testing.T) int {
		s.spec.Id = rand.Text()
		return exitOf(t, s.api, s.spec)
	}
	s.canaries(t, s.secret, 0)
	return s
}

// canaries makes a directory like those of a task, with canaries and what can be opened.
func (s *site) canaries(t *testing.T, dir string, owner int) {
	t.Helper()
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, sub := range []string{"", "local", "secrets", "closed"} {
		must(t, os.MkdirAll(filepath.Join(dir, sub), 0o755), os.WriteFile(filepath.Join(dir, sub, "canary"), []byte(canaryText), 0o644))
	}
	must(t, os.Chmod(filepath.Join(dir, "closed"), 0o700))
	run(t, "chown", "-R", fmt.Sprint(owner), dir)
}

// theirs makes a directory of the client's, in a directory of its own below parent.
func (s *site) theirs(t *testing.T, parent string) string {
	t.Helper()
	must(t, os.MkdirAll(parent, 0o755))
	dir, err := os.MkdirTemp(parent, "race")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	sub := filepath.Join(dir, "it")
	must(t, os.Mkdir(sub, 0o755), os.Chmod(dir, 0o755), os.Chown(dir, s.uid, s.gid), os.Chown(sub, s.uid, s.gid))
	return sub
}

// searches has the task look for the canary in a file of its view.
func (s *site) searches(t *testing.T, file string) {
	t.Helper()
	s.script(t, "eval file="+file+"\ngrep -qs \""+canaryText+"\" \"$file\"")
}

func (s *site) script(t *testing.T, text string) {
	t.Helper()
	script := filepath.Join(s.dirs.GetLocal(), "script")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\n"+text+"\n"), 0o755), os.Chown(script, s.uid, s.gid))
	s.spec.Command, s.spec.Args = "/local/script", nil
}

// key is a credential that the task looks at.
func (s *site) key(t *testing.T) {
	t.Helper()
	s.path, s.secret = filepath.Join(s.dirs.GetSecrets(), "key"), filepath.Join(s.secret, "canary")
	must(t, os.WriteFile(s.path, []byte("its own"), 0o600), os.Chown(s.path, s.uid, s.gid))
	s.searches(t, "$CREDENTIALS_DIRECTORY/key")
	s.spec.Credentials = []*brokerv1.Credential{{Name: "key", From: &brokerv1.Credential_Source{Source: "/secrets/key"}}}
}

// sessions asks for a program beside a unit that runs.
func (s *site) sessions(t *testing.T) {
	t.Helper()
	s.path = s.dirs.GetLocal()
	s.spec.Args = []string{"ignore-term"}
	ctx := context.WithoutCancel(t.Context())
	u := startedOr(ctx, t, s.api, s.spec)
	if u == nil {
		t.Fatal("the unit of the sessions is refused")
	}
	t.Cleanup(func() {
		if _, err := s.api.RemoveUnit(ctx, &brokerv1.RemoveUnitRequest{Handle: u.GetHandle()}); err != nil {
			t.Error(err)
		}
	})
	s.ask = func(t *testing.T) int {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		spec := catsCanary(s.dirs)
		spec.Logging = nil
		token, err := handOver(ctx, s.uid, s.gid)
		must(t, err)
		stream, err := s.api.ExecInUnit(ctx, &brokerv1.ExecInUnitRequest{Handle: u.GetHandle(), Spec: spec, FdToken: token})
		var answer *brokerv1.ExecInUnitResponse
		for err == nil && answer.GetExit() == nil {
			answer, err = stream.Recv()
		}
		if refuses(t, err) {
			return -1
		}
		return int(answer.GetExit().GetCode())
	}
}

// handOver hands three descriptors of /dev/null over, and returns their token.
func handOver(ctx context.Context, uid, gid int) (token string, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer null.Close()
	conn, err := connectAs(uid, gid, "unixpacket", fdsSocket)
	for errors.Is(err, unix.EAGAIN) && ctx.Err() == nil { // as many wait to be accepted as may
		runtime.Gosched()
		conn, err = connectAs(uid, gid, "unixpacket", fdsSocket)
	}
	if err != nil {
		return "", err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	fd := int(null.Fd())
	token, answer, err := hand(conn, fd, fd, fd)
	if err == nil && answer != "ok" {
		err = fmt.Errorf("the broker answers %q to a hand-over", answer)
	}
	return token, err
}

// hand sends descriptors with a token of theirs. The answer is empty if there is none.
func hand(conn *net.UnixConn, fds ...int) (token, answer string, err error) {
	raw, text := make([]byte, 32), make([]byte, 256)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	token = hex.EncodeToString(raw)
	if _, _, err := conn.WriteMsgUnix([]byte(token), unix.UnixRights(fds...), nil); err != nil {
		return token, "", err
	}
	n, err := conn.Read(text)
	if errors.Is(err, io.EOF) {
		n, _ = conn.Read(text) // the end can be told before the answer (readAnswer in the driver)
	}
	return token, string(text[:n]), nil
}

// opens has units of alice's leave a directory, which is opened when they are gone: as
// alice, who has other directories that the client must not get opened. Where ids are
// mapped nothing needs to be.
func (s *site) opens(t *testing.T) {
	t.Helper()
	withoutMapping(t)
	s.path, s.owner, s.secret = s.dirs.GetAlloc(), idOf(t, "-u", "alice"), "/srv/e2e/of-alice"
	s.canaries(t, s.secret, s.owner)
	must(t, os.Chmod(s.path, 0o777)) // what is not mapped is everybody's to write to
	s.script(t, "mkdir -p /alloc/closed; touch /alloc/closed/file; chmod 700 /alloc/closed; exit 1")
	s.spec.User = "alice"
	s.ask = func(t *testing.T) int {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		s.spec.Id = rand.Text()
		u := startedOr(ctx, t, s.api, s.spec)
		if u == nil {
			return -1
		}
		code := awaitExit(ctx, t, s.api, u)
		if _, err := s.api.RemoveUnit(ctx, &brokerv1.RemoveUnitRequest{Handle: u.GetHandle(), Open: s.dirs}); err != nil {
			t.Error(err)
		}
		return code
	}
	if code := s.ask(t); code != 1 {
		t.Fatalf("a task of alice's exits with %d", code)
	}
	st, err := os.Stat(s.path + "/closed")
	must(t, err)
	if st.Mode().Perm() != 0o777 {
		t.Fatalf("what the task left is not opened: %v", st.Mode())
	}
}

// snapshot is what there is below a directory: owners, modes, links and contents.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err := errors.Join(err, unix.Lstat(path, &st)); err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %d:%d %o %d", strings.TrimPrefix(path, dir), st.Uid, st.Gid, st.Mode, st.Nlink)
		if d.Type().IsRegular() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %q", text)
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
