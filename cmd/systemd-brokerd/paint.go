// SPDX-License-Identifier: MPL-2.0

package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// painter colours what people read on a terminal. What goes into a file or a pipe, or
// is read where NO_COLOR is set (https://no-color.org), it leaves as it is.
type painter struct{ on bool }

func newPainter(w io.Writer) painter {
	return painter{os.Getenv("NO_COLOR") == "" && takesEscapes(w)}
}

// takesEscapes reports whether w is a terminal that knows escape sequences.
func takesEscapes(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func (p painter) good(s string) string { return p.paint("32", s) }
func (p painter) bad(s string) string  { return p.paint("31", s) }
func (p painter) warn(s string) string { return p.paint("33", s) }
func (p painter) head(s string) string { return p.paint("1", s) }

// paint is s in the colour of an ECMA-48 code.
func (p painter) paint(code, s string) string {
	if !p.on {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
