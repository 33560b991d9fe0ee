// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/armon/circbuf"
	"github.com/hashicorp/nomad/plugins/drivers"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

var _ drivers.ExecTaskStreamingRawDriver = (*Driver)(nil)

// cannotExecute is the exit code for a program that was not executed, as that of
// shells.
const cannotExecute = 126

// exitIsRead is how long an agent on a busy host may need to read the rest of a session
// with so many bytes of output, all of which may be on their way still. Who has read the
// exit code ends the call; where input came just then, the agent may tell it only when
// this is over.
func exitIsRead(output int64) time.Duration {
	return 8*time.Second + min(time.Duration(output)*30*time.Microsecond, 52*time.Second)
}

// counted counts the output that goes to the agent.
type counted struct {
	drivers.ExecTaskStream
	bytes atomic.Int64
}

// Send implements drivers.ExecTaskStream.
func (c *counted) Send(m *drivers.ExecTaskStreamingResponseMsg) error {
	c.bytes.Add(int64(len(m.GetStdout().GetData()) + len(m.GetStderr().GetData())))
	return c.ExecTaskStream.Send(m)
}

// ExecTaskStreamingRaw implements drivers.ExecTaskStreamingRawDriver: alloc exec.
//
// Nomad's own way from here to ExecTaskStreaming loses the exit code of a session
// whenever input comes just as it ends, be it the command's heartbeat ("unexpected
// EOF"; Nomad 1.11.3). Input for a program that has ended is no failure here, and the
// call outlives its last message: the agent forgets what it has not read of a call
// that ended before it sent input (plugins/drivers/client.go).
func (d *Driver) ExecTaskStreamingRaw(ctx context.Context, id string, command []string, tty bool, stream drivers.ExecTaskStream) error {
	to := &counted{ExecTaskStream: stream}
	opts, sent := drivers.StreamToExecOptions(ctx, command, tty, to)
	defer opts.Stdin.Close() //nolint:errcheck // ends what copies from it
	result, err := d.execStreaming(ctx, id, opts)
	_, _ = opts.Stdout.Close(), opts.Stderr.Close() // never fail (io.PipeWriter)
	if err != nil {
		return err
	}
	select {
	case err := <-sent:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := to.Send(drivers.NewExecStreamingResponseExit(result.ExitCode)); err != nil {
		return err
	}
	select {
	case <-time.After(exitIsRead(to.bytes.Load())):
	case <-ctx.Done():
	}
	return nil
}

// execStreaming is a session whose user reads what goes wrong on standard error: an
// error of some length never reaches them, as Nomad puts it into a frame that holds
// 123 bytes (RFC 6455, 5.5).
func (d *Driver) execStreaming(ctx context.Context, id string, opts *drivers.ExecOptions) (*drivers.ExitResult, error) {
	r, err := d.session(ctx, id, opts)
	if err == nil || ctx.Err() != nil {
		return r, err
	}
	if _, werr := fmt.Fprintf(opts.Stderr, "%v\r\n", sessionError(err)); werr != nil {
		return nil, err
	}
	return &drivers.ExitResult{ExitCode: cannotExecute}, nil
}

// session runs a program beside the task to its end. The program's descriptors
// are pipes or a terminal of this process, handed over like the logs, so that
// its data never passes through the broker.
func (d *Driver) session(ctx context.Context, id string, opts *drivers.ExecOptions) (*drivers.ExitResult, error) {
	t, ok := d.task(id)
	if !ok {
		return nil, drivers.ErrTaskNotFound
	}
	spec, err := sessionSpec(t.config, opts)
	if err != nil {
		return nil, err
	}
	b, err := d.connection()
	if err != nil {
		return nil, err
	}
	io, err := openStdio(opts)
	if err != nil {
		return nil, err
	}
	defer io.close()
	token, err := b.handOver(ctx, io.theirs...)
	if err != nil {
		return nil, err
	}
	io.given()
	copied := io.copy(ctx, opts)
	exit, err := b.exec(ctx, &brokerv1.ExecInUnitRequest{Handle: t.handle, Spec: spec, FdToken: token}, func() {
		// What is typed earlier is lost, see ExecInUnit. It ends with the session,
		// in close, not before its output.
		go io.input(opts.Stdin)
	})
	if err != nil {
		return nil, err
	}
	// The program has ended, and with the unit the last writer is gone.
	select {
	case <-copied:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return sessionResult(exit)
}

// exec makes the call, calls executed when the program has been, and returns
// the program's exit.
func (b *broker) exec(ctx context.Context, req *brokerv1.ExecInUnitRequest, executed func()) (*brokerv1.Exit, error) {
	stream, err := b.ExecInUnit(ctx, req)
	if err != nil {
		return nil, err
	}
	if _, err := stream.Recv(); err != nil {
		return nil, err
	}
	executed()
	last, err := stream.Recv()
	return last.GetExit(), err
}

// sessionSpec is the task's own specification with another program.
func sessionSpec(c *drivers.TaskConfig, opts *drivers.ExecOptions) (*brokerv1.UnitSpec, error) {
	if len(opts.Command) == 0 || opts.Command[0] == "" {
		return nil, errors.New("there is no command to execute")
	}
	var tc TaskConfig
	if err := c.DecodeDriverConfig(&tc); err != nil {
		return nil, fmt.Errorf("cannot read the task's config block: %w", err)
	}
	spec, err := baseSpec(c, &tc)
	if err != nil {
		return nil, err
	}
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	spec.Id += "/exec/" + hex.EncodeToString(random[:])
	spec.Name = append(spec.Name, "exec")
	spec.Credentials = named(spec.GetCredentials())
	spec.Command, spec.Args = opts.Command[0], opts.Command[1:]
	if _, ok := spec.GetEnv()["TERM"]; opts.Tty && !ok {
		spec.Env["TERM"] = "xterm"
	}
	return spec, nil
}

// sessionError words a session that could not be.
func sessionError(err error) error {
	if d := denialOf(err); d != nil {
		return errors.New(denied(d))
	}
	if _, ok := status.FromError(err); !ok {
		return err // not the broker's
	}
	return fmt.Errorf("cannot execute in the task: %s", status.Convert(err).Message())
}

// errNoExit: a program of which nothing is known did not succeed.
var errNoExit = errors.New("systemd-brokerd tells no exit status of the program; upgrade it or the driver, so that both have one version")

// sessionResult gives a signal as shells do, in the exit code: it is all that
// Nomad shows.
func sessionResult(e *brokerv1.Exit) (*drivers.ExitResult, error) {
	if e == nil {
		return nil, errNoExit
	}
	r := exitResult(e)
	if r.Signal != 0 {
		r.ExitCode = 128 + r.Signal
	}
	return r, nil
}

// ExecTask implements drivers.DriverPlugin: script checks and change_script.
func (d *Driver) ExecTask(id string, cmd []string, timeout time.Duration) (*drivers.ExecTaskResult, error) {
	ctx, cancel := context.WithTimeout(d.ctx, timeout)
	defer cancel()
	stdout, stderr := lastOutput(), lastOutput()
	r, err := d.session(ctx, id, &drivers.ExecOptions{Command: cmd, Stdin: noInput{}, Stdout: stdout, Stderr: stderr})
	switch {
	case err == nil:
	case errors.Is(ctx.Err(), context.DeadlineExceeded) || status.Code(err) == codes.Canceled || status.Code(err) == codes.DeadlineExceeded:
		return nil, fmt.Errorf("%q did not end within %s and was killed", cmd, timeout)
	default:
		return nil, sessionError(err)
	}
	return &drivers.ExecTaskResult{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), ExitResult: r}, nil
}

// noInput is standard input that is at its end.
type noInput struct{}

func (noInput) Read([]byte) (int, error) { return 0, io.EOF }
func (noInput) Close() error             { return nil }

// tail keeps the end of what is written to it, as much as Nomad keeps of a check.
type tail struct{ *circbuf.Buffer }

func (tail) Close() error { return nil }

func lastOutput() tail {
	b, err := circbuf.NewBuffer(drivers.CheckBufSize)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return tail{b}
}
