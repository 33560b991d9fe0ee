// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// LoadError is what is wrong with a file of the policy, and where.
type LoadError struct {
	// File is the file's name in the policy directory.
	File string
	// Line and Column count from 1, columns in characters; they are 0 if the
	// problem is not at any one place.
	Line, Column int
	// Problem says on one line what is wrong and what to do.
	Problem string
	// excerpt is the line of the file with a caret under the place.
	excerpt string
}

// Summary is the error in one line.
func (e *LoadError) Summary() string {
	name := e.File
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		name = strconv.Quote(name)
	}
	if e.Line == 0 {
		return name + ": " + e.Problem
	}
	return fmt.Sprintf("%s:%d:%d: %s", name, e.Line, e.Column, e.Problem)
}

// Error implements error: the summary, then the line in question with a caret
// under the place.
func (e *LoadError) Error() string { return e.Summary() + e.excerpt }

// span is a piece of a file, in bytes.
type span struct{ start, end int }

// lineOf is the number of the line that holds the byte at this offset.
func (s *source) lineOf(offset int) int { return bytes.Count(s.text[:offset], []byte{'\n'}) + 1 }

// errorAt makes the error for one place of the file.
func (s *source) errorAt(at span, format string, args ...any) *LoadError {
	lineStart := bytes.LastIndexByte(s.text[:at.start], '\n') + 1
	before := s.text[lineStart:at.start]
	line := s.lineOf(at.start)
	return &LoadError{
		File: s.name, Line: line, Column: utf8.RuneCount(before) + 1,
		Problem: fmt.Sprintf(format, args...),
		excerpt: excerpt(line, before, s.text[at.start:], at.end-at.start),
	}
}

// excerpt shows one line, and marks the first n bytes of rest in it. before and
// rest are what comes before the mark in the line, and all that comes from it on.
func excerpt(line int, before, rest []byte, n int) string {
	const most = 100 // a line may be a megabyte long
	if cut := len(before) - most; cut > 0 {
		before = append([]byte("…"), runeStart(before[cut:])...)
	}
	if eol := bytes.IndexByte(rest, '\n'); eol >= 0 {
		rest = rest[:eol]
	}
	if len(rest) > most {
		rest = append(rest[:most:most], "…"...)
	}
	n = min(n, len(rest))
	indent := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, printable(before))
	mark := strings.Repeat("^", max(1, utf8.RuneCount(rest[:n])))
	return fmt.Sprintf("\n%5d | %s%s\n      | %s%s", line, printable(before), strings.TrimSuffix(printable(rest), "\r"), indent, mark)
}

// runeStart drops the tail of a character that was cut in two.
func runeStart(b []byte) []byte {
	for len(b) > 0 && !utf8.RuneStart(b[0]) {
		b = b[1:]
	}
	return b
}

// printable is text that a terminal shows as it is: one character for each of
// the text's, "?" for those that would do something else.
func printable(text []byte) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\r' || unicode.IsPrint(r) && r != utf8.RuneError {
			return r
		}
		return '?'
	}, string(text))
}
