// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// resolveCommand turns the command of a job into a path in the task's view. An
// absolute command is one already; any other is relative to the task's local/
// directory.
func resolveCommand(command string) (string, error) {
	switch {
	case command == "":
		return "", errors.New(`config: command is missing; name the program to run, such as command = "local/server" or command = "/usr/bin/python3"`)
	case strings.HasPrefix(command, "/"):
		if path.Clean(command) != command {
			return "", fmt.Errorf("command %q: write it without //, . and .., as %q", command, path.Clean(command))
		}
	default:
		clean := path.Clean(command)
		if clean == ".." || strings.HasPrefix(clean, "../") {
			return "", fmt.Errorf("command %q: it leads out of the task's local/ directory; name a file below local/, or an absolute path as the task sees it", command)
		}
		command = path.Join("/local", strings.TrimPrefix(clean, "local/"))
	}
	return command, nil
}

// absentError is about a program that the job was to bring along.
type absentError struct{ rel string }

// Error implements error.
func (e *absentError) Error() string {
	return fmt.Sprintf("command %q: there is no such file in the task's local/ directory; fetch it with an artifact block or write it with a template block", e.rel)
}

// Is implements what errors.Is asks for.
func (*absentError) Is(target error) bool { return target == fs.ErrNotExist }

// checkLocal looks at a program that the job brings along, by the agent's own
// user, to say early what is wrong with it. localDir is /local on this host.
func checkLocal(command, localDir string) error {
	if rel, ok := strings.CutPrefix(command, "/local/"); ok {
		return checkExecutable(localDir, rel)
	}
	return nil
}

// programDirs are where a program is looked for that the job brings not along and names
// without a directory. They are the host's in the task's view, and mean the same to an
// agent that is not in a container.
var programDirs = []string{"/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin"}

// lookUp is the path of a program of the host, by its name; absent says that the task
// has none of it.
func lookUp(root, name string, absent error) (string, error) {
	if strings.Contains(name, "/") {
		return "", absent
	}
	for _, dir := range programDirs {
		at := path.Join(dir, name)
		if info, err := os.Stat(path.Join(root, at)); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return at, nil
		}
	}
	return "", fmt.Errorf("%w; nor is there such a program in %s", absent, strings.Join(programDirs, ", "))
}

// checkExecutable looks for rel below the task's local directory. It never
// leaves the directory, whatever symlinks lie in it.
func checkExecutable(localDir, rel string) error {
	root, err := os.OpenRoot(localDir)
	if err != nil {
		return fmt.Errorf("cannot open the task's local/ directory: %w", err)
	}
	defer root.Close() //nolint:errcheck // nothing was written
	info, err := root.Stat(rel)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &absentError{rel}
	case errors.Is(err, fs.ErrPermission):
		return nil // the task's own user may see what the agent's may not
	case err != nil:
		return fmt.Errorf("command %q: cannot look at it in the task's local/ directory: %w", rel, err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("command %q: it is not a file in the task's local/ directory", rel)
	case info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("command %q: it is not executable (mode %04o); deliver it in an archive (such as .tar.gz), which keeps the mode that a plain download loses, or set perms = \"755\" if a template block writes it", rel, info.Mode().Perm())
	}
	return nil
}
