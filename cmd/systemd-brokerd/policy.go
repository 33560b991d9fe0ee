// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/users"
)

const (
	defaultPolicyDir = "/etc/systemd-brokerd/policy.d"
	// profileDir is beside the policy's directory; it need not be there.
	profileDir = "profiles"
)

func policyCheck(args []string, _ io.Reader, stdout, stderr io.Writer) error {
	flags := newFlags("systemd-brokerd policy check",
		"Loads the policy as the daemon would and reports its mistakes. Changes nothing.", stderr)
	dir := flags.String("policy", defaultPolicyDir, "directory with the policy's *.hcl files")
	if err := parse(flags, args); err != nil {
		return err
	}
	p, err := loadPolicy(*dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: good, sha256 %s\n", *dir, p.SHA256())
	return nil
}

// loadPolicy reads the policy in dir. Whoever can write to the policy is root,
// so the directory and its files must be root's and nobody else's.
func loadPolicy(dir string) (*policy.Policy, error) {
	if err := checkOwners(dir, ".hcl"); err != nil {
		return nil, err
	}
	if _, err := ownProfiles(dir); err != nil {
		return nil, err
	}
	return readPolicy(dir)
}

// readPolicy is loadPolicy for the tools, which put nothing in force: it does not
// ask who can write to the files.
func readPolicy(dir string) (*policy.Policy, error) { return readPolicyWith(dir, "", "") }

// readPolicyWith is readPolicy of one more file, unless its name is empty.
func readPolicyWith(dir, more, text string) (*policy.Policy, error) {
	var profiles fs.FS
	if own := profilesOf(dir); isDir(own) {
		profiles = os.DirFS(own)
	}
	names, err := hostUsers()
	if err != nil {
		return nil, err
	}
	return policy.LoadWith(os.DirFS(dir), names, profiles, more, []byte(text))
}

// ownProfiles are the operator's, in the directory beside that of the policy; nil
// if it is not there.
func ownProfiles(policyDir string) (fs.FS, error) {
	dir := profilesOf(policyDir)
	err := checkOwners(dir, ".conf")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return os.DirFS(dir), err
}

func profilesOf(policyDir string) string {
	return filepath.Join(filepath.Dir(filepath.Clean(policyDir)), profileDir)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// checkOwners refuses a directory whose files with this suffix others can change.
func checkOwners(dir, suffix string) error {
	if err := checkOwner(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot read the policy: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		if err := checkOwner(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// checkOwner refuses what somebody other than root can change, and whatever is
// neither a file nor a directory: a symlink, a FIFO, a device.
func checkOwner(path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fmt.Errorf("cannot read the policy: %s: %w", path, err)
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return fmt.Errorf("cannot trust the policy: %s is neither a file nor a directory", path)
	}
	if st.Uid != 0 || st.Mode&0o022 != 0 {
		return fmt.Errorf("cannot trust the policy: %s can be changed by others than root; run: chown root:root %s && chmod go-w %s", path, path, path)
	}
	return nil
}

// hostUsers are the users and groups of this host, as of now.
func hostUsers() (*users.Users, error) { return users.Read("/etc/passwd", "/etc/group") }
