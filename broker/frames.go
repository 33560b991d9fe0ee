// SPDX-License-Identifier: MPL-2.0

package broker

import "encoding/binary"

// Of HTTP/2 (RFC 9113): what the sizes of messages depend on.
const (
	frameHeaderBytes = 9
	prefaceBytes     = 24

	frameData    = 0
	frameHeaders = 1
	frameReset   = 3

	flagEndStream = 0x1
	flagPadded    = 0x8
)

// messageHeaderBytes come before each message of gRPC.
const messageHeaderBytes = 5

// frame is the header of one.
type frame struct {
	length      int
	kind, flags byte
	stream      uint32
}

// frames finds the headers of frames in one direction of a connection.
type frames struct {
	skip int // bytes until the next header
	head [frameHeaderBytes]byte
	have int
}

// feed calls each with every header that ends in b, until one is an error.
func (f *frames) feed(b []byte, each func(frame) error) error {
	for len(b) > 0 {
		if f.skip > 0 {
			n := min(f.skip, len(b))
			f.skip -= n
			b = b[n:]
			continue
		}
		n := copy(f.head[f.have:], b)
		f.have += n
		b = b[n:]
		if f.have < frameHeaderBytes {
			return nil
		}
		f.have = 0
		h := frame{
			length: int(f.head[0])<<16 | int(f.head[1])<<8 | int(f.head[2]),
			kind:   f.head[3], flags: f.head[4],
			stream: binary.BigEndian.Uint32(f.head[5:]) &^ (1 << 31),
		}
		f.skip = h.length
		if err := each(h); err != nil {
			return err
		}
	}
	return nil
}
