// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"os"
	"path/filepath"
)

// startFiles is a directory of the files that PID 1 starts one unit from. It is
// on a tmpfs, only root can enter it, and it is removed when the start has ended:
// PID 1 has read the files then, or bound them into the unit's view, where they
// stay.
type startFiles struct{ dir string }

// newStartFiles makes the directory of a unit. What it holds can only be left
// from a start that the broker did not survive.
func (s *Server) newStartFiles(unit string) (startFiles, error) {
	f := startFiles{filepath.Join(s.dirs.starts, unit)}
	if err := os.RemoveAll(f.dir); err != nil {
		return f, fmt.Errorf("cannot clear what an earlier start left: %w", err)
	}
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		return f, fmt.Errorf("cannot prepare the start: %w", err)
	}
	return f, nil
}

func (f startFiles) remove() { _ = os.RemoveAll(f.dir) }

// write makes a file and returns its path.
func (f startFiles) write(name string, content []byte, mode os.FileMode) (string, error) {
	path := filepath.Join(f.dir, name)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("cannot prepare the start: %w", err)
	}
	_, err = file.Write(content)
	if cerr := file.Chmod(mode); err == nil {
		err = cerr // whatever the umask
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", fmt.Errorf("cannot prepare the start: %w", err)
	}
	return path, nil
}

// accounts writes the passwd and group file of a unit.
func (f startFiles) accounts(a account) (passwd, group string, err error) {
	if passwd, err = f.write("passwd", []byte(a.passwd()), 0o644); err != nil {
		return "", "", err
	}
	group, err = f.write("group", []byte(a.group()), 0o644)
	return passwd, group, err
}

// correct writes the two anew in place, where the running unit sees it.
func (f startFiles) correct(a account) error {
	for name, text := range map[string]string{"passwd": a.passwd(), "group": a.group()} {
		if err := overwrite(filepath.Join(f.dir, name), []byte(text)); err != nil {
			return fmt.Errorf("cannot tell the unit its user: %w", err)
		}
	}
	return nil
}

// overwrite never leaves the file empty: somebody may be reading it.
func overwrite(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if terr := file.Truncate(int64(len(text))); err == nil {
		err = terr
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	return err
}

// clearStarts removes what an earlier broker could not, unless PID 1 may still
// have to read it for a start that is under way.
func (s *Server) clearStarts() error {
	all, err := os.ReadDir(s.dirs.starts)
	if err != nil {
		return fmt.Errorf("cannot clear old starts: %w", err)
	}
	for _, d := range all {
		if s.units.starting(d.Name()) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.dirs.starts, d.Name())); err != nil {
			return fmt.Errorf("cannot clear old starts: %w", err)
		}
	}
	return nil
}
