// SPDX-License-Identifier: MPL-2.0

package mounts

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// maxMessage bounds a message: paths of at most PATH_MAX for each mount.
const maxMessage = 64 << 10

// request is one message to the server: descriptors of the mounts are attached to
// it, in their order. Without Mounts it takes back those of the unit; with Devices it
// looks at these and does nothing.
type request struct {
	Unit    string   `json:"unit,omitempty"`
	Mounts  []want   `json:"mounts,omitempty"`
	Devices []string `json:"devices,omitempty"`
}

type want struct {
	Root      string `json:"root"`
	Path      string `json:"path"`
	SameMount bool   `json:"same_mount,omitempty"`
	ReadOnly  bool   `json:"read_only,omitempty"`
	Map       *User  `json:"map,omitempty"`
}

// answer is the server's.
type answer struct {
	Error string `json:"error,omitempty"`
	// ReadOnly or Device is set if that is why.
	ReadOnly *ReadOnlyError `json:"read_only,omitempty"`
	Device   *DeviceError   `json:"device,omitempty"`
	// Unmapped says that something which was to be mapped is mounted as it is.
	Unmapped bool `json:"unmapped,omitempty"`
}

// ReadOnlyError is a mount that a unit was to write to, on what nobody can write to. A
// unit is not left to find that out.
type ReadOnlyError struct {
	// N is the number of the mount among those of its request.
	N int `json:"n"`
}

// Error implements error.
func (e *ReadOnlyError) Error() string {
	return fmt.Sprintf("mount %d is of a file system that is read-only", e.N)
}

func (r *request) check(fds int) error {
	switch {
	case len(r.Devices) > 0:
		if r.Unit != "" || len(r.Mounts) > 0 || fds > 0 {
			return errors.New("devices are looked at on their own")
		}
		return nil
	case !unitPattern.MatchString(r.Unit):
		return fmt.Errorf("%q is not the name of a unit", r.Unit)
	case len(r.Mounts) > maxMounts:
		return fmt.Errorf("%d mounts are more than %d", len(r.Mounts), maxMounts)
	case len(r.Mounts) != fds:
		return fmt.Errorf("%d descriptors came with %d mounts", fds, len(r.Mounts))
	}
	for _, w := range r.Mounts {
		if w.Map != nil && (w.Map.UID == 0 || w.Map.GID == 0) {
			return fmt.Errorf("nothing of %s is shown as root's", w.Path)
		}
	}
	return nil
}

func send(conn *net.UnixConn, message any, fds ...int) error {
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(text) > maxMessage {
		return fmt.Errorf("a message of %d bytes is more than %d", len(text), maxMessage)
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	_, _, err = conn.WriteMsgUnix(text, rights, nil)
	return err
}

// reader is a [net.UnixConn] to read from.
type reader interface {
	ReadMsgUnix(b, oob []byte) (n, oobn, flags int, addr *net.UnixAddr, err error)
}

// receive reads one message. The caller closes the descriptors, also after an error.
func receive(conn reader, message any) (fds []int, err error) {
	buf, oob := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(maxMounts*4))
	n, oobn, flags, _, err := conn.ReadMsgUnix(buf, oob)
	// Where the peer sends and closes between the kernel's look for a message and its look
	// for the end, a reader that does not block is told of the end first, and the message
	// is there (__unix_dgram_recvmsg in Linux's af_unix.c).
	if errors.Is(err, io.EOF) {
		n, oobn, flags, _, err = conn.ReadMsgUnix(buf, oob)
	}
	if err != nil {
		return nil, err
	}
	controls, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, err
	}
	for _, c := range controls {
		more, err := unix.ParseUnixRights(&c)
		if err != nil {
			return fds, err
		}
		fds = append(fds, more...)
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		return fds, errors.New("the message is too long")
	}
	if n == 0 {
		return fds, net.ErrClosed
	}
	return fds, json.Unmarshal(buf[:n], message)
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
