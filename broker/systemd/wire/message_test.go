// SPDX-License-Identifier: MPL-2.0

package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/godbus/dbus/v5"
)

func testCall(args ...any) Call {
	return Call{Destination: "a.b", Path: "/c", Interface: "d.e", Member: "F", Args: args}
}

func TestEncodeRefusesNULWhereverItHides(t *testing.T) {
	const bad = "a\x00b"
	type inner struct{ Name string }
	tests := []struct {
		name string
		arg  any
	}{
		{"a string", bad},
		{"a list", []string{"ok", bad}},
		{"a structure", []inner{{bad}}},
		{"a variant", dbus.MakeVariant(bad)},
		{"a variant in a variant", dbus.MakeVariant(dbus.MakeVariant([]string{bad}))},
		{"a key", map[string]string{bad: "ok"}},
		{"a value", map[string]dbus.Variant{"ok": dbus.MakeVariant(bad)}},
		{"a decoded structure", dbus.MakeVariant([]any{"ok", bad})},
	}
	for _, test := range tests {
		if _, _, err := testCall(test.arg).encode(1); !errors.Is(err, errNUL) {
			t.Errorf("%s: got %v, want %v", test.name, err, errNUL)
		}
	}
	if _, _, err := testCall([]byte{1, 0, 2}, "ok", uint32(0)).encode(1); err != nil {
		t.Errorf("bytes are no string: %v", err)
	}
	if _, _, err := testCall("\xff").encode(1); err == nil {
		t.Error("a string that is not UTF-8 was encoded")
	}
}

// TestEncodeCountsDescriptors: the header says how many there are, wherever they are.
func TestEncodeCountsDescriptors(t *testing.T) {
	type inner struct {
		Name string
		FD   dbus.UnixFD
	}
	for _, test := range []struct {
		name string
		args []any
		want int
	}{
		{"none", []any{int32(3), "text"}, 0},
		{"an argument", []any{dbus.UnixFD(3)}, 1},
		{"a structure", []any{[]inner{{"a", 3}, {"b", 4}}}, 2},
		{"a variant", []any{"unit", []inner{{"c", 3}}, dbus.MakeVariant(dbus.UnixFD(5))}, 2},
		{"a dictionary", []any{map[string]dbus.Variant{"a": dbus.MakeVariant(dbus.UnixFD(3)), "b": dbus.MakeVariant("c")}}, 1},
	} {
		frame, numbers, err := testCall(test.args...).encode(1)
		if err != nil {
			t.Fatal(err)
		}
		m, err := dbus.DecodeMessageWithFDs(bytes.NewReader(frame), numbers)
		if err != nil {
			t.Fatal(err)
		}
		told, _ := m.Headers[dbus.FieldUnixFDs].Value().(uint32)
		if int(told) != test.want || len(numbers) != test.want {
			t.Errorf("%s: the header says %d, and %d are sent, want %d", test.name, told, len(numbers), test.want)
		}
	}
}

func TestEncodeCarriesTheSerial(t *testing.T) {
	frame, fds, err := testCall("x", dbus.UnixFD(7)).encode(0x01020304)
	if err != nil {
		t.Fatal(err)
	}
	m, err := dbus.DecodeMessageWithFDs(bytes.NewReader(frame), []int{9})
	if err != nil {
		t.Fatal(err)
	}
	if m.Serial() != 0x01020304 || len(fds) != 1 || fds[0] != 7 || m.Headers[dbus.FieldUnixFDs].Value() != uint32(1) {
		t.Errorf("got serial %#x, descriptors %v, headers %v", m.Serial(), fds, m.Headers)
	}
}

func TestReadFrameStaysInStepWithTheStream(t *testing.T) {
	var stream bytes.Buffer
	for i := range 3 {
		frame, _, err := testCall(string(make([]rune, 0)), uint32(i)).encode(uint32(i + 1))
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			frame[2] = 0xff // godbus refuses to decode this one
		}
		stream.Write(frame)
	}
	r := bufio.NewReader(&stream)
	for i, decodes := range []bool{true, false, true} {
		frame, err := readFrame(r)
		if err != nil {
			t.Fatal(err)
		}
		m, err := dbus.DecodeMessage(bytes.NewReader(frame))
		if (err == nil) != decodes {
			t.Errorf("message %d: got %v", i, err)
		}
		if err == nil && m.Serial() != uint32(i+1) {
			t.Errorf("message %d has serial %d", i, m.Serial())
		}
	}
	if _, err := readFrame(r); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want EOF", err)
	}
}

// FuzzReadFrame checks that no header makes the reader take more than the
// message says, or more memory than there is input.
func FuzzReadFrame(f *testing.F) {
	frame, _, err := testCall("hello").encode(1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame)
	huge := bytes.Clone(frame)
	binary.LittleEndian.PutUint32(huge[4:], 1<<31)
	f.Add(huge)
	f.Fuzz(func(t *testing.T, raw []byte) {
		frame, err := readFrame(bufio.NewReader(bytes.NewReader(raw)))
		if err == nil && (len(frame) > len(raw) || !bytes.Equal(frame, raw[:len(frame)])) {
			t.Errorf("read %d bytes of %d", len(frame), len(raw))
		}
		if err == nil {
			c := &Conn{waiting: map[uint32]pending{}, onSignal: func(Signal) {}}
			_ = c.dispatch(frame) // must not panic
		}
	})
}
