// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/systemd/wire"
)

// FuzzDecodeStatus gives the decoder of a unit's state any bytes as the value of one
// of the fields.
// Nothing it decodes may be a state with a field that was not understood.
func FuzzDecodeStatus(f *testing.F) {
	for i, v := range []any{"active", uint32(7), int32(9), uint64(1), []byte("0123456789abcdef"), [][]byte{[]byte("A=b")}, true} {
		f.Add(uint8(i), message(f, v))
	}
	f.Fuzz(func(t *testing.T, which uint8, raw []byte) {
		m, err := dbus.DecodeMessage(bytes.NewReader(raw))
		if err != nil {
			return
		}
		v, err := bodyOf[dbus.Variant](wire.Reply{Body: m.Body}, "a value")
		if err != nil {
			return
		}
		values := goodValues()
		i := int(which) % len(fields)
		values[fields[i].name] = v
		d, err := decodeDetails(testUnit, values)
		if err != nil {
			return
		}
		if d.ActiveState == "" && fields[i].name != "ActiveState" || d.LoadState == LoadNotFound ||
			len(d.InvocationID) != 32 && len(d.InvocationID) != 0 {
			t.Errorf("field %s, body %v: got %+v", fields[i].name, m.Body, d)
		}
	})
}

func message(f *testing.F, v any) []byte {
	f.Helper()
	body := dbus.MakeVariant(v)
	m := &dbus.Message{
		Type: dbus.TypeMethodReply,
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldReplySerial: dbus.MakeVariant(uint32(1)),
			dbus.FieldSignature:   dbus.MakeVariant(dbus.SignatureOf(body)),
		},
		Body: []any{body},
	}
	var buf bytes.Buffer
	if err := m.EncodeTo(&buf, binary.LittleEndian); err != nil {
		f.Fatal(err)
	}
	return buf.Bytes()
}

// goodValues are those of every field.
func goodValues() map[string]dbus.Variant {
	values := make(map[string]dbus.Variant)
	for name, v := range map[string]any{
		"ActiveState": "active", "SubState": "running", "Result": "success", "LoadState": "loaded", "ControlGroup": "/x",
		"Job":                  []any{uint32(0), dbus.ObjectPath("/")},
		"ActiveEnterTimestamp": uint64(1), "ExecMainStartTimestamp": uint64(1), "ExecMainExitTimestamp": uint64(0),
		"ExecMainPID": uint32(1), "MainPID": uint32(1), "UID": uint32(1),
		"ExecMainCode": int32(0), "ExecMainStatus": int32(0),
		"InvocationID": make([]byte, 16), "LogExtraFields": [][]byte{},
	} {
		values[name] = dbus.MakeVariant(v)
	}
	return values
}
