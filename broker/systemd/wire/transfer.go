// SPDX-License-Identifier: MPL-2.0

package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// errBatchedFDs is a mistake of the program: descriptors travel with the first
// byte of what is written, so only a message sent alone can own them.
var errBatchedFDs = errors.New("a call with file descriptors must be sent alone")

func encodeAll(calls []Call, serials []uint32) (*outgoing, error) {
	var data []byte
	var numbers []int
	for i, call := range calls {
		frame, fds, err := call.encode(serials[i])
		if err != nil {
			return nil, err
		}
		if len(fds) > 0 && len(calls) > 1 {
			return nil, errBatchedFDs
		}
		data, numbers = append(data, frame...), fds
	}
	o := &outgoing{data: data}
	for _, fd := range numbers {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			o.close()
			return nil, fmt.Errorf("cannot duplicate file descriptor %d: %w", fd, err)
		}
		o.fds = append(o.fds, dup)
	}
	return o, nil
}

// close closes the duplicates.
func (o *outgoing) close() {
	for _, fd := range o.fds {
		_ = unix.Close(fd)
	}
	o.fds = nil
}

// write is the goroutine that writes. One after the other, whole or not on this
// connection any more.
func (c *Conn) write() {
	for {
		select {
		case o := <-c.out:
			err := c.writeWhole(o)
			o.close()
			if err != nil {
				c.Fail(fmt.Errorf("cannot write: %w", err))
				return
			}
		case <-c.done:
			return
		}
	}
}

func (c *Conn) writeWhole(o *outgoing) error {
	rest := o.data
	if len(o.fds) > 0 {
		// The kernel takes as much as fits and attaches the descriptors to
		// the first byte; the remainder is plain data.
		n, _, err := c.sock.WriteMsgUnix(rest, unix.UnixRights(o.fds...), nil)
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	_, err := c.sock.Write(rest) // all of it, or an error
	return err
}

// read is the goroutine that reads.
func (c *Conn) read() {
	r := bufio.NewReaderSize(c.sock, 64<<10)
	for {
		frame, err := readFrame(r)
		if err == nil {
			err = c.dispatch(frame)
		}
		if err != nil {
			c.Fail(fmt.Errorf("cannot read: %w", err))
			return
		}
	}
}

// dispatch routes one message. Only a reply that cannot be decoded ends the
// connection: somebody waits for it. On a bus anybody may send us a signal, and
// a strange one must not cost us the connection.
func (c *Conn) dispatch(frame []byte) error {
	h, err := headerOf(frame)
	switch {
	case err == nil && isReply(frame):
		err = c.deliver(h, frame)
	case err == nil && h.kind == dbus.TypeSignal:
		c.onSignal(Signal{Sender: h.sender, Path: dbus.ObjectPath(h.path), Interface: h.iface, Member: h.member, frame: frame})
	}
	if err != nil && isReply(frame) {
		return err
	}
	return nil
}

func (c *Conn) deliver(h header, frame []byte) error {
	c.mu.Lock()
	p, ok := c.waiting[h.reply]
	delete(c.waiting, h.reply)
	c.mu.Unlock()
	if !ok {
		return nil // the caller has gone
	}
	if p.only != nil && h.kind == dbus.TypeMethodReply {
		var err error
		if frame, err = only(frame, h, p.only); err != nil {
			return err
		}
	}
	m, err := dbus.DecodeMessage(bytes.NewReader(frame))
	if err != nil {
		return err
	}
	reply := Reply{Body: m.Body, index: p.index}
	if m.Type == dbus.TypeError {
		reply.Err = errorFrom(m)
	}
	p.answers <- reply
	return nil
}

// errorFrom relies on the decoder, which refuses messages without the fields their
// type requires.
func errorFrom(m *dbus.Message) *Error {
	e := &Error{}
	e.Name, _ = m.Headers[dbus.FieldErrorName].Value().(string)
	if len(m.Body) > 0 {
		e.Message, _ = m.Body[0].(string)
	}
	return e
}
