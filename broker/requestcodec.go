// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxElements bounds the fields of a request, and all that lists and maps hold: an
// element of two bytes takes a hundred when it is decoded. The largest command line
// and environment take 16384.
const maxElements = 20000

var errElements = fmt.Errorf("the request has over %d elements", maxElements)

// requestCodec is gRPC's own, for requests of at most maxElements.
type requestCodec struct{ encoding.CodecV2 }

// Unmarshal implements encoding.CodecV2.
func (c requestCodec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("cannot decode a %T", v)
	}
	buf := data.MaterializeToBuffer(mem.NopBufferPool{})
	defer buf.Free()
	left := maxElements
	if err := countElements(buf.ReadOnlyData(), m.ProtoReflect().Descriptor(), &left); err != nil {
		return err
	}
	return proto.Unmarshal(buf.ReadOnlyData(), m)
}

// countElements takes the elements of a message, and of those in it, from left.
func countElements(b []byte, d protoreflect.MessageDescriptor, left *int) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return protowire.ParseError(n)
		}
		value := b[:n]
		b = b[n:]
		*left--
		if f := d.Fields().ByNumber(number); f != nil && kind == protowire.BytesType {
			inner, _ := protowire.ConsumeBytes(value)
			switch {
			case f.Message() != nil:
				if err := countElements(inner, f.Message(), left); err != nil {
					return err
				}
			case f.Kind() != protoreflect.StringKind && f.Kind() != protoreflect.BytesKind: // packed numbers
				*left -= len(inner)
			}
		}
		if *left < 0 {
			return errElements
		}
	}
	return nil
}

// elementsOf is the number of elements of a decoded message.
func elementsOf(m protoreflect.Message) int {
	n := 0
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			n += 3 * v.Map().Len()
		case f.IsList():
			for i := range v.List().Len() {
				n++
				if f.Message() != nil {
					n += elementsOf(v.List().Get(i).Message())
				}
			}
		case f.Message() != nil:
			n += 1 + elementsOf(v.Message())
		default:
			n++
		}
		return true
	})
	return n
}
