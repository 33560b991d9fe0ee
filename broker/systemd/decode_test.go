// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/systemd/wire"
)

// TestAPropertyDoesNotKeepItsMessage: the state of a thousand units is kept.
func TestAPropertyDoesNotKeepItsMessage(t *testing.T) {
	const n, most = 1000, 512
	var message bytes.Buffer
	reply := &dbus.Message{
		Type: dbus.TypeMethodReply, Body: []any{dbus.MakeVariant("/brokerd.slice/nomad-web.service")},
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldReplySerial: dbus.MakeVariant(uint32(1)), dbus.FieldSignature: dbus.MakeVariant(dbus.ParseSignatureMust("v")),
		},
	}
	if err := reply.EncodeTo(&message, binary.LittleEndian); err != nil {
		t.Fatal(err)
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	kept := make([]string, n)
	before := heap()
	for i := range kept {
		m, err := dbus.DecodeMessage(bytes.NewReader(message.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if kept[i], err = variantOf[string](wire.Reply{Body: m.Body}, "ControlGroup"); err != nil {
			t.Fatal(err)
		}
	}
	each := (heap() - before) / n
	runtime.KeepAlive(kept)
	if each > most {
		t.Errorf("a property of %d bytes keeps %d, want at most %d", len(kept[0]), each, most)
	}
}
