// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"
)

// stdio is standard input, output and error of a session: three pipes, or one
// terminal.
type stdio struct {
	theirs []*os.File // of the program
	stdin  *os.File
	// outputs are what the program writes to, for us to read; with a terminal
	// there is one, which is stdin as well.
	outputs []*os.File
	tty     bool
}

func openStdio(opts *drivers.ExecOptions) (*stdio, error) {
	s := &stdio{tty: opts.Tty}
	if opts.Tty {
		master, slave, err := openTerminal()
		if err != nil {
			return nil, fmt.Errorf("cannot open a terminal: %w", err)
		}
		s.theirs, s.stdin, s.outputs = []*os.File{slave, slave, slave}, master, []*os.File{master}
		return s, nil
	}
	for i := range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			s.close()
			return nil, fmt.Errorf("cannot make a pipe: %w", err)
		}
		if i == 0 {
			s.theirs, s.stdin = append(s.theirs, r), w
			continue
		}
		s.theirs, s.outputs = append(s.theirs, w), append(s.outputs, r)
	}
	for _, f := range s.theirs {
		// Go's pipes do not block; programs expect theirs to.
		if err := unix.SetNonblock(int(f.Fd()), false); err != nil {
			s.close()
			return nil, fmt.Errorf("cannot make a pipe: %w", err)
		}
	}
	return s, nil
}

// given closes the program's side: its end shows when nobody else has it.
func (s *stdio) given() {
	for _, f := range s.theirs {
		_ = f.Close() // a terminal is there three times
	}
}

func (s *stdio) close() {
	s.given()
	if s.stdin != nil {
		_ = s.stdin.Close()
	}
	for _, f := range s.outputs {
		_ = f.Close()
	}
}

// copy moves output until the program's side is closed; then the channel is.
func (s *stdio) copy(ctx context.Context, opts *drivers.ExecOptions) <-chan struct{} {
	if s.tty {
		go s.resize(ctx, opts.ResizeCh)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i, w := range []io.Writer{opts.Stdout, opts.Stderr}[:len(s.outputs)] {
		// A terminal whose other side is closed gives EIO for the end of file.
		wg.Go(func() { _, _ = io.Copy(w, s.outputs[i]) })
	}
	go func() {
		wg.Wait()
		close(done)
	}()
	return done
}

// endOfTransmission is what ends the input of a program on a terminal (VEOF of
// termios(3)).
const endOfTransmission = 4

func (s *stdio) input(from io.Reader) {
	_, _ = io.Copy(s.stdin, from)
	if s.tty {
		_, _ = s.stdin.Write([]byte{endOfTransmission})
		return
	}
	_ = s.stdin.Close()
}

func (s *stdio) resize(ctx context.Context, sizes <-chan drivers.TerminalSize) {
	for {
		select {
		case <-ctx.Done():
			return
		case size, ok := <-sizes:
			if !ok {
				return
			}
			setSize(s.stdin, size)
		}
	}
}
