// SPDX-License-Identifier: MPL-2.0

package mounts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/crashpoint"
)

// Server makes mounts in the mount namespace of its process, which must be that of
// PID 1.
type Server struct {
	dir string
	log *slog.Logger
	// spare are the user namespaces for mounts whose ids are mapped.
	spare namespaces
	// working holds a token for each request that is worked on.
	working chan struct{}

	mu   sync.Mutex
	busy map[string]*unitLock // units whose mounts are being changed
}

// atOnce is how many requests are worked on at once. Each takes up to two threads and a
// process, of the TasksMax= of systemd-brokerd-mounts.service.
const atOnce = 8

// unitLock lets one change of a unit's mounts be made at a time. Those of different
// units have nothing in common: many starts at once would wait for each other longer
// than their client does.
type unitLock struct {
	sync.Mutex
	users int // guarded by Server.mu
}

// NewServer prepares dir, which holds the mounts and is only root's. It is a mount
// of its own that nothing propagates from: each mount in it would else appear in
// the namespace of every service.
func NewServer(dir string, log *slog.Logger) (*Server, error) {
	if err := makeDirectory(dir); err != nil {
		return nil, fmt.Errorf("cannot make the directory of mounts, which takes a host whose /run/host can be written to, and not a container: %w", err)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", dir, err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	isMount, err := mountRoot(fd)
	if err != nil {
		return nil, err
	}
	if !isMount {
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			return nil, fmt.Errorf("cannot make a mount of %s (CAP_SYS_ADMIN is needed): %w", dir, err)
		}
	}
	if err := unix.Mount("", dir, "", unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("cannot make the mount %s private: %w", dir, err)
	}
	return &Server{dir: dir, log: log, spare: namespaces{make(chan loan)}, working: make(chan struct{}, atOnce), busy: make(map[string]*unitLock)}, nil
}

// makeDirectory makes dir for root alone. The directory that it is in may be others' as
// well, and everybody may look into that.
func makeDirectory(dir string) error {
	shared := filepath.Dir(dir)
	if _, err := os.Stat(shared); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(shared, 0o755); err != nil { //nolint:gosec // everybody may look into it
			return err
		}
		if err := os.Chmod(shared, 0o755); err != nil { //nolint:gosec // whatever the umask
			return err
		}
	}
	return os.MkdirAll(dir, 0o700)
}

// mountRoot is whether a descriptor is of the root of a mount.
func mountRoot(fd int) (bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &st); err != nil {
		return false, fmt.Errorf("cannot look at a mount: %w", err)
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}

// Serve answers root on l, a SOCK_SEQPACKET socket, until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var keeper sync.WaitGroup
	defer keeper.Wait()
	serving, served := context.WithCancel(ctx)
	defer served()
	keeper.Go(func() { s.spare.keep(serving) })
	for {
		accepted, err := l.Accept()
		if ctx.Err() != nil {
			return nil // closed on purpose
		}
		if err != nil {
			return fmt.Errorf("cannot accept a connection: %w", err)
		}
		conn, ok := accepted.(*net.UnixConn)
		if !ok {
			return fmt.Errorf("cannot receive descriptors over a %T", accepted)
		}
		go func() {
			defer conn.Close() //nolint:errcheck // nothing is lost
			if err := s.answer(conn); err != nil {
				s.log.Warn("cannot answer", slog.Any("error", err))
			}
		}()
	}
}

func (s *Server) answer(conn *net.UnixConn) error {
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if err := onlyRoot(conn); err != nil {
		return err
	}
	var r request
	fds, err := receive(conn, &r)
	defer func() { closeAll(fds) }()
	if err == nil {
		err = r.check(len(fds))
	}
	var a answer
	if err == nil {
		var done func()
		if done, err = s.begin(conn); err == nil {
			a.Unmapped, err = s.do(&r, fds)
			done()
		}
	}
	if err != nil {
		a.Error = err.Error()
		a.ReadOnly, _ = errors.AsType[*ReadOnlyError](err)
		a.Device, _ = errors.AsType[*DeviceError](err)
		s.log.Warn("request refused", slog.String("BROKER_UNIT", r.Unit), slog.Any("error", err))
	}
	return send(conn, a)
}

// begin waits until there is room for one more request, whose sender must still be there
// then: what he has given up he has taken back by another request.
func (s *Server) begin(conn *net.UnixConn) (done func(), err error) {
	select {
	case s.working <- struct{}{}:
	case <-time.After(timeout):
		return nil, fmt.Errorf("%d requests that came before took longer than %s; try again", atOnce, timeout)
	}
	done = func() { <-s.working }
	there, err := waits(conn)
	if err == nil && !there {
		err = errors.New("the sender has gone")
	}
	if err != nil {
		done()
		return nil, err
	}
	return done, nil
}

// waits tells whether the other end of a connection, which sends no more, is open still.
func waits(conn *net.UnixConn) (there bool, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false, err
	}
	err = raw.Control(func(fd uintptr) {
		_, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		there = errors.Is(err, unix.EAGAIN)
	})
	return there, err
}

// onlyRoot is the second lock; the first is the mode of the socket.
func onlyRoot(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	if cred.Uid != uint32(os.Getuid()) { //nolint:gosec // a uid fits
		return fmt.Errorf("a connection of uid %d is refused", cred.Uid)
	}
	return nil
}

// lock returns what ends the lock on a unit.
func (s *Server) lock(unit string) (unlock func()) {
	s.mu.Lock()
	l, ok := s.busy[unit]
	if !ok {
		l = new(unitLock)
		s.busy[unit] = l
	}
	l.users++
	s.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(s.busy, unit)
		}
	}
}

// do does what r asks for, and reports whether something could not be mapped.
func (s *Server) do(r *request, fds []int) (unmapped bool, err error) {
	if len(r.Devices) > 0 {
		for _, path := range r.Devices {
			if err := (hostDev{base: "/"}).check(path); err != nil {
				return false, err
			}
		}
		return false, nil
	}
	defer s.lock(r.Unit)()
	if err := s.unstage(r.Unit); err != nil {
		return false, err
	}
	if len(r.Mounts) == 0 {
		return false, nil
	}
	if err := os.Mkdir(filepath.Join(s.dir, r.Unit), 0o700); err != nil {
		return false, err
	}
	crashpoint.Here("mounts/directory")
	maps := mappings{from: &s.spare, log: s.log.With(slog.String("BROKER_UNIT", r.Unit))}
	defer maps.close()
	for i, w := range r.Mounts {
		err := s.stage(Where(s.dir, r.Unit, i), w, fds[i], &maps)
		if errors.Is(err, errReadOnly) {
			err = &ReadOnlyError{i}
		}
		if err != nil {
			return false, errors.Join(err, s.unstage(r.Unit))
		}
	}
	return maps.unmapped, nil
}

// stage mounts the object of fd at target. The descriptor is of the sender's mount
// namespace, in which no mount of this one can be made; so the same object is opened
// here again.
func (s *Server) stage(target string, w want, fd int, maps *mappings) error {
	own, err := Open(Mount{Root: w.Root, Path: w.Path, SameMount: w.SameMount})
	if err != nil {
		return fmt.Errorf("%s in %s cannot be opened: %w", w.Path, w.Root, err)
	}
	defer unix.Close(own) //nolint:errcheck // nothing was written
	switch ok, err := same(own, fd); {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("%s in %s is not what it was a moment ago", w.Path, w.Root)
	}
	crashpoint.Here("mounts/opened")
	if err := writable(own, w); err != nil {
		return err
	}
	tree, err := unix.OpenTree(own, "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("cannot clone the mount of %s: %w", w.Path, err)
	}
	defer unix.Close(tree) //nolint:errcheck // it stays where it was moved to
	attributes := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV, Propagation: unix.MS_PRIVATE}
	if w.ReadOnly {
		attributes.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, attributes); err != nil {
		return fmt.Errorf("cannot set the attributes of the mount of %s: %w", w.Path, err)
	}
	if w.Map != nil {
		if err := maps.apply(tree, own, *w.Map); err != nil {
			return fmt.Errorf("cannot map the ids of the mount of %s: %w", w.Path, err)
		}
	}
	crashpoint.Here("mounts/mapped")
	if err := makeTarget(target, own); err != nil {
		return err
	}
	crashpoint.Here("mounts/target")
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("cannot mount %s: %w", w.Path, err)
	}
	crashpoint.Here("mounts/moved")
	return nil
}

// makeTarget makes what the object of fd can be mounted on: only root changes
// anything in the directory.
func makeTarget(target string, fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return os.Mkdir(target, 0o700)
	case unix.S_IFREG:
		f, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		return f.Close()
	}
	return errors.New("only directories and regular files can be shown to a unit")
}

// unstage takes back what there is of a unit, whoever made it.
func (s *Server) unstage(unit string) error {
	dir := filepath.Join(s.dir, unit)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			return fmt.Errorf("%s is not a mount of this program", filepath.Join(dir, e.Name()))
		}
		target := filepath.Join(dir, e.Name())
		if err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("cannot unmount %s: %w", target, err)
		}
		crashpoint.Here("mounts/unmounted")
		// Not RemoveAll: should it be mounted still, nothing in it is touched.
		if err := os.Remove(target); err != nil {
			return err
		}
	}
	return os.Remove(dir)
}
