// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// checkNetworkNamespace refuses a path that is not that of a network namespace, or
// that others than root can change: PID 1 opens it by its name. Empty is none.
func (s *Server) checkNetworkNamespace(path string) error {
	if path == "" {
		return nil
	}
	at, err := s.programs.Changeable(path)
	switch {
	case err != nil:
		return &startError{fmt.Sprintf("network %q cannot be looked at: %v; the operator makes it, for example with ip netns add", path, err)}
	case at != "":
		return &startError{fmt.Sprintf("network %q is none that the policy could know: others than root can change %s", path, at)}
	}
	if err := isNetworkNamespace(s.programs.Base + path); err != nil {
		return &startError{fmt.Sprintf("network %q is no network namespace: %v; the operator makes it, for example with ip netns add", path, err)}
	}
	return nil
}

// isNetworkNamespace asks the kernel.
func isNetworkNamespace(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // it was only read
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return err
	}
	if fs.Type != unix.NSFS_MAGIC {
		return fmt.Errorf("it is no namespace at all (file system %#x)", fs.Type)
	}
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil {
		return err
	}
	if kind != unix.CLONE_NEWNET {
		return fmt.Errorf("it is a namespace of another kind (%#x)", kind)
	}
	return nil
}
