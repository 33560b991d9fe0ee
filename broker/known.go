// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// known refuses a message that carries anything this broker does not know: a
// newer client's restriction must not be dropped in silence.
func known(m proto.Message) error {
	return knownMessage(m.ProtoReflect(), string(m.ProtoReflect().Descriptor().Name()))
}

func knownMessage(m protoreflect.Message, at string) (err error) {
	if len(m.GetUnknown()) > 0 {
		return invalid(at, "holds a field this broker does not know; upgrade systemd-brokerd or use an older client")
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		where := at + "." + string(f.Name())
		switch {
		case f.IsMap():
			if f.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, e protoreflect.Value) bool {
					err = knownMessage(e.Message(), where)
					return err == nil
				})
			}
		case f.IsList():
			for i := 0; i < v.List().Len() && err == nil && f.Message() != nil; i++ {
				err = knownMessage(v.List().Get(i).Message(), where)
			}
		case f.Message() != nil:
			err = knownMessage(v.Message(), where)
		case f.Enum() != nil && f.Enum().Values().ByNumber(v.Enum()) == nil:
			err = invalid(where, "has the value %d, which this broker does not know; upgrade systemd-brokerd or use an older client", v.Enum())
		}
		return err == nil
	})
	return err
}
