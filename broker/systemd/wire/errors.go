// SPDX-License-Identifier: MPL-2.0

package wire

import "errors"

var (
	// ErrNotSent is returned when no byte of the calls has reached the peer:
	// the connection ended or the context was done before.
	ErrNotSent = errors.New("not sent")

	// ErrNoReply is returned when the calls were handed to the connection, at
	// least in part, and the connection or the context ended before the reply.
	ErrNoReply = errors.New("sent, but no reply")

	// ErrClosed is the reason a connection ended by [Conn.Close].
	ErrClosed = errors.New("connection closed")
)

// Error is an error reply of the peer.
type Error struct {
	// Name is the D-Bus name of the error, such as
	// "org.freedesktop.systemd1.NoSuchUnit".
	Name string
	// Message is the peer's text for people.
	Message string
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Name
	}
	return e.Message + " (" + e.Name + ")"
}
