// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// environmentFile writes env for EnvironmentFile= and returns the file's path.
// A unit's Environment= is readable by every user over D-Bus; this file only by
// root, and it is removed as soon as PID 1 has read it.
func (s *Server) environmentFile(name string, env map[string]string) (string, error) {
	path := filepath.Join(s.dirs.env, name)
	// A file of this name can only be left from a start that the broker did not
	// survive; O_EXCL after removal never writes to an inode somebody holds.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("cannot clear an old environment file: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("cannot write the environment: %w", err)
	}
	_, err = f.Write(encodeEnvironment(env))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(path)
		return "", fmt.Errorf("cannot write the environment: %w", err)
	}
	return path, nil
}

// clearEnvironments removes what an earlier broker could not, unless PID 1 may
// still have to read it for a start that is under way.
func (s *Server) clearEnvironments() error {
	files, err := os.ReadDir(s.dirs.env)
	if err != nil {
		return fmt.Errorf("cannot clear old environment files: %w", err)
	}
	for _, f := range files {
		if s.units.starting(f.Name()) {
			continue
		}
		if err := os.Remove(filepath.Join(s.dirs.env, f.Name())); err != nil {
			return fmt.Errorf("cannot clear old environment files: %w", err)
		}
	}
	return nil
}

// shellSpecial is what a backslash quotes inside double quotes in an
// environment file; before any other character the backslash itself is kept
// (SHELL_NEED_ESCAPE in systemd's basic/env-file.c).
var shellSpecial = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", `$`, `\$`)

// encodeEnvironment is env in the form that EnvironmentFile= reads back byte
// for byte, sorted by name.
func encodeEnvironment(env map[string]string) []byte {
	names := make([]string, 0, len(env))
	for name := range env {
		names = append(names, name)
	}
	slices.Sort(names)
	var b bytes.Buffer
	for _, name := range names {
		b.WriteString(name)
		b.WriteString(`="`)
		b.WriteString(shellSpecial.Replace(env[name]))
		b.WriteString("\"\n")
	}
	return b.Bytes()
}
