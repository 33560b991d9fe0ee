// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/identity"
	"nomad-systemd-driver/broker/policy"
)

// keyFiles are the files of keys that were read, by their paths. They are looked at
// for each start that needs them, so that there is nothing to reload, and read when
// they are other files than before.
type keyFiles struct {
	// root is where paths begin, and whose files are trusted; tests change both.
	root    string
	rootUID uint32

	mu  sync.Mutex
	all map[string]keyFile
}

type keyFile struct {
	version fileVersion
	owner   uint32
	keys    *identity.Keys
}

// fileVersion differs if a file was replaced or changed.
type fileVersion struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

func newKeyFiles() *keyFiles { return &keyFiles{root: "/", all: map[string]keyFile{}} }

// read are the keys in the file at path, which nobody but root and owner can change or
// exchange.
func (k *keyFiles) read(path string, owner uint32) (*identity.Keys, error) {
	fd, err := k.open(path, owner)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close() //nolint:errcheck // nothing was written
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("cannot look at %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	version := fileVersion{st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim}
	k.mu.Lock()
	defer k.mu.Unlock()
	if known, ok := k.all[path]; ok && known.version == version && known.owner == owner {
		return known.keys, nil
	}
	text, err := io.ReadAll(io.LimitReader(f, identity.MaxKeysBytes+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	keys, err := identity.ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	k.all[path] = keyFile{version, owner, keys}
	return keys, nil
}

// CheckKeys is what keeps the broker from using the keys of an identity.
func CheckKeys(k *policy.IdentityKeys) error {
	_, err := newKeyFiles().read(k.File, k.Owner)
	return err
}

// open opens a file below root, step by step and without following a symlink.
// Each step must be root's or owner's, and nobody else may write to it: they alone can
// change what the next one is.
func (k *keyFiles) open(path string, owner uint32) (int, error) {
	fd, err := unix.Open(k.root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot open %s: %w", k.root, err)
	}
	steps := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, step := range steps {
		// A FIFO would wait for a writer, and a terminal become the broker's.
		flags := unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY
		if i < len(steps)-1 {
			flags = unix.O_PATH | unix.O_DIRECTORY
		}
		next, err := unix.Openat(fd, step, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		_ = unix.Close(fd)
		at := "/" + strings.Join(steps[:i+1], "/")
		if err != nil {
			return -1, fmt.Errorf("cannot open %s: %w", at, err)
		}
		if fd = next; !trusted(fd, k.rootUID, owner) {
			_ = unix.Close(fd)
			return -1, fmt.Errorf("%s can be changed by others than root and the policy's keys_user", at)
		}
	}
	return fd, nil
}

func trusted(fd int, owners ...uint32) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && slices.Contains(owners, st.Uid) && st.Mode&0o022 == 0
}
