// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"io"
	"slices"
	"strings"
)

// policyTools are the commands of "systemd-brokerd policy". None of them needs the
// daemon, or changes anything.
var policyTools = map[string]func(args []string, stdin io.Reader, stdout, stderr io.Writer) error{
	"check":   policyCheck,
	"diff":    policyDiff,
	"explain": policyExplain,
	"init":    policyInit,
	"suggest": policySuggest,
	"test":    policyTest,
}

// errDenied is an answer that is not the good one, and has been printed.
var errDenied = errors.New("denied")

// mistakeError is what keeps a tool from finding out: exit status 2.
type mistakeError struct{ error }

// Unwrap returns the mistake.
func (e mistakeError) Unwrap() error { return e.error }

func mistake(err error) error { return mistakeError{err} }

// orJSON prints a mistake as JSON as well, where JSON is asked for.
func orJSON(args []string, stdout io.Writer, err error) error {
	m, ok := errors.AsType[mistakeError](err)
	json := slices.ContainsFunc(args, func(arg string) bool {
		return slices.Contains([]string{"json", "json=true"}, strings.TrimLeft(arg, "-")) && strings.HasPrefix(arg, "-")
	})
	if ok && json {
		_ = encodeJSON(stdout, map[string]*mistakeJSON{"mistake": newMistake(m.error)})
	}
	return err
}
