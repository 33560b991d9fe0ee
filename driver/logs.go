// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// collectTimeout bounds the wait for a collector that is slow, or hangs.
	collectTimeout = 10 * time.Second
	collectPeriod  = 10 * time.Millisecond
	// maxHandOvers is below the number of connections that the broker takes from
	// one user: when all tasks of a node start at once, they queue here.
	maxHandOvers = 8
)

// handOverLogs opens the task's two log FIFOs and passes them to the broker, and
// returns the token under which StartUnit names them. The driver opens them,
// with the agent's rights; root never follows a path to a log.
func (b *broker) handOverLogs(ctx context.Context, stdout, stderr string) (token string, err error) {
	out, err := openLog(stdout)
	if err != nil {
		return "", err
	}
	defer out.Close() //nolint:errcheck // the broker has its own copy
	errs, err := openLog(stderr)
	if err != nil {
		return "", err
	}
	defer errs.Close() //nolint:errcheck // the broker has its own copy
	return b.handOver(ctx, out, errs)
}

// handOver passes descriptors to the broker and returns the token that names them. A
// broker that ends meanwhile takes them with it, or its answer: the next one, which
// listens on the same socket, gets them under a token of their own.
func (b *broker) handOver(ctx context.Context, files ...*os.File) (token string, err error) {
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	until := time.Now().Add(restartTime)
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		var secret [32]byte
		_, _ = rand.Read(secret[:]) // never fails (crypto/rand)
		token = hex.EncodeToString(secret[:])
		err = b.send(ctx, token, fds...)
		if err == nil {
			return token, nil
		}
		if lost(err) && time.Now().Before(until) {
			select {
			case <-time.After(pause):
				continue
			case <-ctx.Done():
			}
		}
		return "", fmt.Errorf("cannot hand descriptors to systemd-brokerd at %s: %w", b.fdSocket, err)
	}
}

// lost reports whether err is the end of a connection without an answer.
func lost(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

// openLog opens one end of a log for a task. A FIFO is opened for reading too,
// so that it always has a reader: the task is never sent SIGPIPE when the log
// collector restarts, and what it wrote meanwhile stays in the pipe. The FIFO
// lies in a directory that tasks can write to, so a symlink or another kind of
// file in its place is refused.
func openLog(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open the task's log %s: %w", path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("cannot look at the task's log %s: %w", path, err)
	}
	null := st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
	if st.Mode&unix.S_IFMT != unix.S_IFIFO && !null {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("the task's log %s is not a FIFO; somebody replaced it", path)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("cannot open the task's log %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// awaitCollected waits until Nomad's log collector has read what an ended task
// left in its log FIFOs, at most for collectTimeout. A collector that still
// reads the last run when Nomad starts the next one passes for alive, ends with
// the last run, and the next one would write into a pipe that nobody empties.
func awaitCollected(ctx context.Context, paths ...string) {
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	again := time.NewTicker(collectPeriod) // no event tells that a pipe ran empty
	defer again.Stop()
	for _, path := range paths {
		// Opened for reading alone, so that the collector sees the end.
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			continue // the log went elsewhere, or its directory is gone
		}
		for ctx.Err() == nil {
			if n, err := unix.IoctlGetInt(fd, unix.TIOCINQ); err != nil || n == 0 {
				break // /dev/null has no such count
			}
			select {
			case <-again.C:
			case <-ctx.Done():
			}
		}
		_ = unix.Close(fd)
	}
}

// send passes the descriptors in one message and waits for the broker's word.
func (b *broker) send(ctx context.Context, token string, fds ...int) error {
	select {
	case b.handing <- struct{}{}:
		defer func() { <-b.handing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	dialer := net.Dialer{Timeout: callTimeout}
	conn, err := dialer.DialContext(ctx, "unixpacket", b.fdSocket)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the answer is what counts
	if err := checkServer(conn, b.serverUID); err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return err
	}
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("%T is not a Unix socket", conn)
	}
	if _, _, err := uc.WriteMsgUnix([]byte(token), unix.UnixRights(fds...), nil); err != nil {
		return err
	}
	answer, err := readAnswer(uc)
	if err != nil {
		return err
	}
	if answer != "ok" {
		return fmt.Errorf("it refuses them: %s", answer)
	}
	return nil
}

// readAnswer reads a message of a SOCK_SEQPACKET socket, again if it is told of the end:
// where the peer sends and closes between the kernel's look for a message and its look for
// the end, a reader that does not block is told of the end first, and the message is there
// (__unix_dgram_recvmsg in Linux's af_unix.c).
func readAnswer(r io.Reader) (string, error) {
	answer := make([]byte, 1024)
	n, err := r.Read(answer)
	if errors.Is(err, io.EOF) {
		n, err = r.Read(answer)
	}
	return string(answer[:n]), err
}
