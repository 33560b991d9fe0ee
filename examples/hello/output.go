// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// atOnce is how many lines count adds on SIGHUP, many times what a pipe holds.
const atOnce = 20000

// count numbers lines on both streams. One write is one line, so that none is
// cut by count itself.
func count(args []string) error {
	rate, err := number(args)
	if err != nil || rate < 1 {
		return errors.Join(err, errors.New("how many lines a second?"))
	}
	stop, more := term(), make(chan os.Signal, 1)
	signal.Notify(more, syscall.SIGHUP)
	n := 0
	next := func() {
		n++
		_, _ = fmt.Fprintln(os.Stdout, "out", n)
		_, _ = fmt.Fprintln(os.Stderr, "err", n)
	}
	next()
	for tick := time.NewTicker(time.Second / time.Duration(rate)); ; {
		select {
		case <-tick.C:
			next()
		case <-more:
			for range atOnce {
				next()
			}
		case <-stop:
			fmt.Println("end", n)
			return nil
		}
	}
}

// noise writes what is not made of lines: to stdout n bytes that are the same
// each time, none of which ends a line, to stderr one line of n letters.
func noise(args []string) error {
	n, err := number(args)
	out, random := bufio.NewWriter(os.Stdout), rand.New(rand.NewPCG(1, 2)) //nolint:gosec // it must be the same each time
	for range n {
		b := byte(random.Uint32()) //nolint:gosec // any eight bits
		if b == '\n' {
			b = 0
		}
		_ = out.WriteByte(b)
	}
	_, werr := fmt.Fprintln(os.Stderr, strings.Repeat("x", n))
	return errors.Join(err, werr, out.Flush())
}
