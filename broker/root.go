// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// dirs are the broker's own directories below its runtime directory, which
// only root can write to.
type dirs struct {
	// root is the skeleton of the "minimal" root file system: empty
	// directories and symlinks, with everything else bound over it by systemd.
	root string
	// roots holds such a skeleton for each unit that needs one of its own.
	roots string
	// hostDirs and hostLinks are the host's own directories and symlinks at the top.
	hostDirs, hostLinks []string
	// starts holds what units are started from, see startFiles.
	starts string
	// requests: see requestsDir.
	requests string
}

// hostReadOnly is all that a unit sees of the host, read-only. What a host does
// not have is left out. The list is what programs need to resolve names, check
// certificates, know the time zone and find their libraries.
var hostReadOnly = []string{
	"/usr",
	"/etc/alternatives",
	"/etc/ca-certificates",
	"/etc/crypto-policies",
	"/etc/gai.conf",
	"/etc/host.conf",
	"/etc/hosts",
	"/etc/ld.so.cache",
	"/etc/ld.so.conf",
	"/etc/ld.so.conf.d",
	"/etc/localtime",
	"/etc/mime.types",
	"/etc/nsswitch.conf",
	"/etc/os-release",
	"/etc/pki",
	"/etc/protocols",
	"/etc/resolv.conf",
	"/etc/services",
	"/etc/ssl/certs",
	"/etc/ssl/openssl.cnf",
	"/etc/timezone",
}

// skeleton lists the directories of the root; usrMerge the symlinks into /usr.
var (
	skeleton = []string{
		"alloc", "dev", "etc", "etc/ssl", "local", "proc", "root", "run", "secrets", "sys", "tmp", "usr", "var", "var/tmp",
	}
	usrMerge = []string{"bin", "lib", "lib32", "lib64", "libx32", "sbin"}
)

// makeDirs builds the broker's directories below runtime. It repairs what an
// earlier broker left and is safe to run again while units use the root.
func makeDirs(runtime string) (dirs, error) {
	d := dirs{
		root:     filepath.Join(runtime, "root"),
		roots:    filepath.Join(runtime, "roots"),
		starts:   filepath.Join(runtime, "starts"),
		requests: filepath.Join(runtime, requestsDir),
	}
	for path, mode := range map[string]fs.FileMode{d.roots: 0o755, d.starts: 0o700, d.requests: 0o700} {
		if err := makeDir(path, mode); err != nil {
			return dirs{}, err
		}
	}
	var err error
	if d.hostDirs, d.hostLinks, err = topOfHost(); err != nil {
		return dirs{}, err
	}
	return d, makeSkeleton(d.root)
}

// makeSkeleton makes a root directory in which everything is bound over.
func makeSkeleton(root string) error {
	if err := makeDir(root, 0o755); err != nil {
		return err
	}
	for _, name := range skeleton {
		if err := makeDir(filepath.Join(root, name), 0o755); err != nil {
			return err
		}
	}
	for _, name := range usrMerge {
		if err := linkIntoUsr(root, name); err != nil {
			return err
		}
	}
	return nil
}

// makeDir makes a directory of exactly this mode, whatever the umask.
func makeDir(path string, mode fs.FileMode) error {
	if err := os.MkdirAll(path, mode); err != nil {
		return fmt.Errorf("cannot make the broker's directory: %w", err)
	}
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("cannot make the broker's directory: %w", err)
	}
	return nil
}

// linkIntoUsr makes /NAME point to usr/NAME where the host has it so.
func linkIntoUsr(root, name string) error {
	if _, err := os.Stat(filepath.Join("/usr", name)); err != nil {
		return nil //nolint:nilerr // this host has no such directory
	}
	err := os.Symlink("usr/"+name, filepath.Join(root, name))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot make the root directory of units: %w", err)
	}
	return nil
}

// explainPath words a path of the unit's view for people.
func explainPath(path string) string {
	switch {
	case strings.HasPrefix(path, "/local/"):
		return path + " (local/ of the task's directory)"
	case strings.HasPrefix(path, "/alloc/"):
		return path + " (the allocation's shared directory)"
	}
	return path
}
