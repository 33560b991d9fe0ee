// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// policyWatch reports changes of what loadPolicy reads (inotify(7)).
type policyWatch struct {
	// changed holds a token when something has changed since it was taken.
	changed chan struct{}

	inotify *os.File
	parent  string            // the directory that holds the two
	suffix  map[string]string // name of the directory to that of its files
}

// watchPolicy watches the policy in dir and the profiles beside it. Both may be
// missing; they are found when they come.
func watchPolicy(dir string) (*policyWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot watch the policy: %w", err)
	}
	dir = filepath.Clean(dir)
	w := &policyWatch{
		changed: make(chan struct{}, 1), inotify: os.NewFile(uintptr(fd), "inotify"),
		parent: filepath.Dir(dir), suffix: map[string]string{filepath.Base(dir): ".hcl", profileDir: ".conf"},
	}
	if err := w.arm(); err != nil {
		w.close()
		return nil, err
	}
	go w.read()
	return w, nil
}

// changes is changed; of no watch, a channel that never has anything.
func (w *policyWatch) changes() <-chan struct{} {
	if w == nil {
		return nil
	}
	return w.changed
}

func (w *policyWatch) close() { _ = w.inotify.Close() }

// inFiles are the changes of files that matter. A file that is being written is not
// there before it is closed; what isWhole says of others.
const inFiles = unix.IN_CREATE | unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_ATTRIB | unix.IN_ONLYDIR

// arm watches the directories that are there now; what is watched stays so. It
// must be called before the policy is read, so that no change falls between.
func (w *policyWatch) arm() error {
	raw, err := w.inotify.SyscallConn()
	if err != nil {
		return fmt.Errorf("cannot watch the policy: %w", err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		_, failed = unix.InotifyAddWatch(int(fd), w.parent,
			unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_MOVED_FROM|unix.IN_DELETE|unix.IN_ATTRIB|unix.IN_ONLYDIR)
		for name := range w.suffix {
			_, _ = unix.InotifyAddWatch(int(fd), filepath.Join(w.parent, name), inFiles)
		}
	}); err != nil {
		failed = err
	}
	if failed != nil {
		return fmt.Errorf("cannot watch %s: %w", w.parent, failed)
	}
	return nil
}

// read takes events until close.
func (w *policyWatch) read() {
	buf := make([]byte, 64<<10)
	for {
		n, err := w.inotify.Read(buf)
		if err != nil {
			return
		}
		if w.matters(buf[:n]) {
			select {
			case w.changed <- struct{}{}:
			default:
			}
		}
	}
}

// matters reports whether an event is about a file of the policy, or one of the
// directories, or was lost.
func (w *policyWatch) matters(events []byte) bool {
	for len(events) >= unix.SizeofInotifyEvent {
		mask, size := binary.NativeEndian.Uint32(events[4:]), int(binary.NativeEndian.Uint32(events[12:]))
		events = events[unix.SizeofInotifyEvent:]
		if size > len(events) || mask&unix.IN_Q_OVERFLOW != 0 {
			return true
		}
		name := string(bytes.TrimRight(events[:size], "\x00"))
		events = events[size:]
		if _, ok := w.suffix[name]; ok || w.isPolicy(name) && (mask&unix.IN_CREATE == 0 || w.isWhole(name)) {
			return true
		}
	}
	return false
}

// isWhole is whether nobody needs to write what was made: another link to a file, or what
// is none, of which the operator must hear before the next start denies all.
func (w *policyWatch) isWhole(name string) bool {
	for dir := range w.suffix {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(w.parent, dir, name), &st); err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink > 1) {
			return true
		}
	}
	return false
}

// isPolicy leaves out the temporary files of editors.
func (w *policyWatch) isPolicy(name string) bool {
	if strings.HasPrefix(name, ".") {
		return false
	}
	for _, suffix := range w.suffix {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}
