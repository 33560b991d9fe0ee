// SPDX-License-Identifier: MPL-2.0

package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/godbus/dbus/v5"
)

const (
	fixedHeader = 16      // bytes before the array of header fields
	maxMessage  = 1 << 27 // D-Bus specification, "Message Format"
	lengthStart = 4       // of the body's length
	serialStart = 8
	serialEnd   = 12
)

// Call is one method call.
type Call struct {
	Destination string
	Path        dbus.ObjectPath
	Interface   string
	Member      string
	Args        []any
	// Only are the entries of a reply a{sv} that are decoded; nil are all.
	Only map[string]bool
}

// Signal is one signal received.
type Signal struct {
	// Sender is the unique name of the sender on a bus; on a connection
	// without a bus it has no meaning.
	Sender    string
	Path      dbus.ObjectPath
	Interface string
	Member    string

	frame []byte
}

// Body decodes what the signal says. It must be called before the function that got
// the signal returns: most signals say nothing that anybody wants to know, and then
// it is not worth keeping.
func (s Signal) Body() ([]any, error) {
	m, err := dbus.DecodeMessage(bytes.NewReader(s.frame))
	if err != nil {
		return nil, fmt.Errorf("cannot decode %s: %w", s.Member, err)
	}
	return m.Body, nil
}

// Encode returns the call in wire format and the file descriptors that belong
// to it, as numbers still owned by the caller.
func (c Call) encode(serial uint32) ([]byte, []int, error) {
	var args contents
	for i, arg := range c.Args {
		if args.add(reflect.ValueOf(arg)); args.nul {
			return nil, nil, fmt.Errorf("cannot encode argument %d of %s: %w", i+1, c.Member, errNUL)
		}
	}
	m := &dbus.Message{
		Type:  dbus.TypeMethodCall,
		Flags: dbus.FlagNoAutoStart,
		Body:  c.Args,
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldDestination: dbus.MakeVariant(c.Destination),
			dbus.FieldPath:        dbus.MakeVariant(c.Path),
			dbus.FieldInterface:   dbus.MakeVariant(c.Interface),
			dbus.FieldMember:      dbus.MakeVariant(c.Member),
		},
	}
	if len(c.Args) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(c.Args...))
	}
	if args.fds > 0 {
		m.Headers[dbus.FieldUnixFDs] = dbus.MakeVariant(args.fds)
	}
	var buf bytes.Buffer
	numbers, err := m.EncodeToWithFDs(&buf, binary.LittleEndian)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot encode %s: %w", c.Member, err)
	}
	// godbus keeps the serial to itself; it has a fixed place in the header.
	frame := buf.Bytes()
	binary.LittleEndian.PutUint32(frame[serialStart:serialEnd], serial)
	return frame, numbers, nil
}

// errNUL is the one malformed string that godbus lets through: the peer would
// end the connection over it, for everybody who uses it.
var errNUL = errors.New("a string holds a NUL byte")

// contents are what must be known of arguments before they are encoded. godbus would
// count descriptors by encoding all of it once more.
type contents struct {
	fds uint32
	nul bool // a string holds a NUL byte
}

var fdType = reflect.TypeFor[dbus.UnixFD]()

func (c *contents) add(v reflect.Value) {
	switch v.Kind() {
	case reflect.Int32:
		if v.Type() == fdType {
			c.fds++
		}
	case reflect.String:
		c.nul = c.nul || strings.ContainsRune(v.String(), 0)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			c.add(v.Index(i))
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			c.add(it.Key())
			c.add(it.Value())
		}
	case reflect.Interface:
		c.add(v.Elem())
	case reflect.Struct:
		if variant, ok := reflect.TypeAssert[dbus.Variant](v); ok {
			c.add(reflect.ValueOf(variant.Value()))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				c.add(v.Field(i))
			}
		}
	}
}

// readFrame reads one whole message without interpreting its fields, so that a
// message that cannot be decoded does not shift the ones behind it. It is good until
// the next one is read. Descriptors sent along are dropped by the kernel, since
// nothing here asks for them.
func readFrame(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(fixedHeader)
	if err != nil {
		return nil, err
	}
	if head[0] != 'l' && head[0] != 'B' {
		return nil, fmt.Errorf("peer sent a message with byte order %q", head[0])
	}
	order := orderOf(head)
	body, fields := uint64(order.Uint32(head[lengthStart:])), uint64(order.Uint32(head[12:]))
	size := fixedHeader + (fields+7)/8*8 + body
	if size > maxMessage {
		return nil, fmt.Errorf("peer sent a message of %d bytes, more than D-Bus allows", size)
	}
	if size <= uint64(r.Size()) { //nolint:gosec // G115: a size
		frame, err := r.Peek(int(size))
		if err != nil {
			return nil, err
		}
		_, err = r.Discard(len(frame))
		return frame, err
	}
	var frame bytes.Buffer
	if _, err := io.CopyN(&frame, r, int64(size)); err != nil {
		return nil, err
	}
	return frame.Bytes(), nil
}

// isReply tells whether a frame answers a call.
func isReply(frame []byte) bool {
	t := dbus.Type(frame[1])
	return t == dbus.TypeMethodReply || t == dbus.TypeError
}
