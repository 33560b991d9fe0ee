// SPDX-License-Identifier: MPL-2.0

package wire

import (
	"encoding/binary"
	"errors"

	"github.com/godbus/dbus/v5"
)

// errMalformed is what the peer sent if its lengths or types do not add up.
var errMalformed = errors.New("a message is not in the wire format of D-Bus")

// cursor reads the wire format in place. After a mistake of the peer it stays bad,
// and what it returns means nothing.
type cursor struct {
	data  []byte
	pos   int
	order binary.ByteOrder
	depth int // variants in variants
	bad   bool
}

// maxDepth is that of the D-Bus specification for all containers together.
const maxDepth = 64

// take returns the next n bytes.
func (c *cursor) take(n uint64) []byte {
	if c.bad || n > uint64(len(c.data)-c.pos) { //nolint:gosec // G115: pos is at most the length
		c.bad = true
		return nil
	}
	b := c.data[c.pos : c.pos+int(n)] //nolint:gosec // G115: at most the length
	c.pos += len(b)
	return b
}

func (c *cursor) align(n int) { c.take(uint64((n - c.pos%n) % n)) } //nolint:gosec // G115: less than n

func (c *cursor) uint32() uint32 {
	c.align(4)
	b := c.take(4)
	if c.bad {
		return 0
	}
	return c.order.Uint32(b)
}

// text is a string or an object path.
func (c *cursor) text() []byte {
	b := c.take(uint64(c.uint32()))
	c.take(1) // the NUL byte behind it
	return b
}

func (c *cursor) signature() string {
	n := c.take(1)
	if c.bad {
		return ""
	}
	b := c.take(uint64(n[0]))
	c.take(1)
	return string(b)
}

// skip goes behind one value whose type the signature begins with, and returns the
// rest of the signature.
func (c *cursor) skip(signature string) string {
	first, rest := cut(signature)
	if first == "" {
		c.bad = true
		return ""
	}
	switch first[0] {
	case 's', 'o':
		c.text()
	case 'g':
		c.signature()
	case 'v':
		c.depth++
		if c.depth > maxDepth || c.skip(c.signature()) != "" {
			c.bad = true
		}
		c.depth--
	case 'a':
		n := c.uint32()
		c.align(alignment(first[1]))
		c.take(uint64(n))
	case '(', '{':
		c.align(8)
		for fields := first[1 : len(first)-1]; fields != "" && !c.bad; {
			fields = c.skip(fields)
		}
	default:
		n := alignment(first[0])
		c.align(n)
		c.take(uint64(n)) //nolint:gosec // G115: at most 8
	}
	return rest
}

// alignment of a type by its first character; of a number also its size.
func alignment(of byte) int {
	switch of {
	case 'n', 'q':
		return 2
	case 'b', 'i', 'u', 'h', 's', 'o', 'a':
		return 4
	case 'x', 't', 'd', '(', '{':
		return 8
	}
	return 1
}

// cut splits the first complete type off a signature; it is empty if there is none.
func cut(signature string) (first, rest string) {
	depth := 0
	for i := range len(signature) {
		switch signature[i] {
		case 'a':
			continue // and what it is of
		case '(', '{':
			depth++
		case ')', '}':
			depth--
		case 'y', 'n', 'q', 'b', 'i', 'u', 'h', 'x', 't', 'd', 's', 'o', 'g', 'v':
		default:
			return "", ""
		}
		if depth < 0 {
			return "", ""
		}
		if depth == 0 {
			return signature[:i+1], signature[i+1:]
		}
	}
	return "", ""
}

// header is what says where a message belongs.
type header struct {
	kind                        dbus.Type
	reply                       uint32 // serial of the call that it answers
	sender, path, iface, member string
	signature                   string
	body                        int // where the body begins
}

// headerOf reads the header of a whole message.
func headerOf(frame []byte) (header, error) {
	h := header{kind: dbus.Type(frame[1])}
	c := cursor{data: frame, order: orderOf(frame), pos: fixedHeader - 4}
	end := fixedHeader + int(c.uint32())
	for c.pos < end && !c.bad {
		c.align(8)
		code := c.take(1)
		if c.bad {
			break
		}
		typ := c.signature()
		switch field, text := dbus.HeaderField(code[0]), typ == "s" || typ == "o"; {
		case field == dbus.FieldReplySerial && typ == "u":
			h.reply = c.uint32()
		case field == dbus.FieldSender && text:
			h.sender = string(c.text())
		case field == dbus.FieldPath && text:
			h.path = string(c.text())
		case field == dbus.FieldInterface && text:
			h.iface = string(c.text())
		case field == dbus.FieldMember && text:
			h.member = string(c.text())
		case field == dbus.FieldSignature && typ == "g":
			h.signature = c.signature()
		default:
			if c.skip(typ) != "" {
				c.bad = true
			}
		}
	}
	c.align(8)
	h.body = c.pos
	if c.bad || c.pos != (end+7)/8*8 {
		return header{}, errMalformed
	}
	return h, nil
}

func orderOf(frame []byte) binary.ByteOrder {
	if frame[0] == 'B' {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// only is the message without the entries of its body, an a{sv}, that nobody wants.
// Entries begin at multiples of 8, so that they are the same at any other.
func only(frame []byte, h header, wanted map[string]bool) ([]byte, error) {
	if h.signature != "a{sv}" {
		return nil, errMalformed
	}
	c := cursor{data: frame, order: orderOf(frame), pos: h.body}
	length := c.uint32()
	c.align(8)
	if c.bad {
		return nil, errMalformed
	}
	first, end := c.pos, c.pos+int(length)
	out := append(make([]byte, 0, len(frame)/2), frame[:first]...)
	size := 0
	for c.pos < end {
		c.align(8)
		from := c.pos
		name := c.text()
		c.skip("v")
		if c.bad || c.pos > end {
			return nil, errMalformed
		}
		if wanted[string(name)] {
			out = append(out, make([]byte, (8-len(out)%8)%8)...)
			out = append(out, frame[from:c.pos]...)
			size = len(out) - first
		}
	}
	c.order.PutUint32(out[lengthStart:], uint32(len(out)-h.body)) //nolint:gosec // G115: less than the message's
	c.order.PutUint32(out[h.body:], uint32(size))
	return out, nil
}
