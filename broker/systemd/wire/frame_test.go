// SPDX-License-Identifier: MPL-2.0

package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"reflect"
	"testing"

	"github.com/godbus/dbus/v5"
)

// answer is a reply as PID 1 sends it.
func answer(tb testing.TB, order binary.ByteOrder, body ...any) []byte {
	tb.Helper()
	m := &dbus.Message{
		Type: dbus.TypeMethodReply,
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldReplySerial: dbus.MakeVariant(uint32(7)),
			dbus.FieldSender:      dbus.MakeVariant(":1.0"),
			dbus.FieldSignature:   dbus.MakeVariant(dbus.SignatureOf(body...)),
		},
		Body: body,
	}
	var buf bytes.Buffer
	if err := m.EncodeTo(&buf, order); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// signal is one that says nothing but that something has changed.
func signal(tb testing.TB, body ...any) []byte {
	tb.Helper()
	m := &dbus.Message{
		Type: dbus.TypeSignal,
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldPath:      dbus.MakeVariant(dbus.ObjectPath("/org/freedesktop/systemd1/unit/a_2eservice")),
			dbus.FieldInterface: dbus.MakeVariant("org.freedesktop.DBus.Properties"),
			dbus.FieldMember:    dbus.MakeVariant("PropertiesChanged"),
			dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(body...)),
		},
		Body: body,
	}
	var buf bytes.Buffer
	if err := m.EncodeTo(&buf, binary.LittleEndian); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// properties has a value of each type that systemd's properties have, and some more.
func properties() map[string]dbus.Variant {
	type bind struct {
		From, To string
		Missing  bool
		Flags    uint64
	}
	type exec struct {
		Path   string
		Args   []string
		Ignore bool
		At     [4]uint64
		Status int32
	}
	type job struct {
		ID   uint32
		Path dbus.ObjectPath
	}
	all := make(map[string]dbus.Variant)
	for i, v := range []any{
		"text",
		"",
		dbus.ObjectPath("/a"),
		true,
		byte(1),
		int16(-2),
		uint16(2),
		int32(-3),
		uint32(3),
		int64(-4),
		uint64(4),
		0.5,
		dbus.ParseSignatureMust("a{sv}"),
		[]byte{1, 2, 3},
		[][]byte{{1}, {}},
		[]string{"a", "", "ccc"},
		[]string{},
		[]uint64{},
		[]bind{{"/a", "/b", true, 1}},
		[]bind{},
		[]exec{{"/x", []string{"x", "y"}, false, [4]uint64{1, 2, 3, 4}, 5}},
		map[string]uint64{"k": 1},
		dbus.MakeVariant(dbus.MakeVariant("deep")),
		job{1, "/"},
		[]struct{ Key, Value string }{{"a", "b"}},
	} {
		all[fmt.Sprint("P", i)] = dbus.MakeVariant(v)
	}
	return all
}

func decoded(tb testing.TB, frame []byte) map[string]dbus.Variant {
	tb.Helper()
	m, err := dbus.DecodeMessage(bytes.NewReader(frame))
	if err != nil {
		tb.Fatal(err)
	}
	return m.Body[0].(map[string]dbus.Variant)
}

func TestOnlyKeepsTheWantedEntriesAsTheyAre(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		frame := answer(t, order, properties())
		all := decoded(t, frame)
		h, err := headerOf(frame)
		if err != nil {
			t.Fatal(err)
		}
		for name := range all {
			for _, wanted := range []map[string]bool{{name: true}, {name: true, "P0": true, "P20": true, "none": true}} {
				want := maps.Clone(all)
				maps.DeleteFunc(want, func(k string, _ dbus.Variant) bool { return !wanted[k] })
				short, err := only(frame, h, wanted)
				if err != nil {
					t.Fatal(err)
				}
				if got := decoded(t, short); !reflect.DeepEqual(got, want) {
					t.Errorf("%s: only %v of it is %v, want %v", order, wanted, got, want)
				}
			}
		}
		if short, err := only(frame, h, map[string]bool{}); err != nil || len(decoded(t, short)) != 0 {
			t.Errorf("nothing of it: got %v", err)
		}
	}
}

func TestOnlyRefusesWhatIsNoListOfProperties(t *testing.T) {
	long := answer(t, binary.LittleEndian, properties())
	h, err := headerOf(long)
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint32(long[h.body:], 1<<20)
	tests := []struct {
		name  string
		frame []byte
	}{
		{"a string", answer(t, binary.LittleEndian, "x")},
		{"strings by name", answer(t, binary.LittleEndian, map[string]string{"a": "b"})},
		{"a list of structures", answer(t, binary.LittleEndian, []struct {
			Name  string
			Value dbus.Variant
		}{{"a", dbus.MakeVariant("b")}})},
		{"a list that is longer than the message", long},
	}
	for _, test := range tests {
		h, err := headerOf(test.frame)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if short, err := only(test.frame, h, map[string]bool{"a": true, "P0": true}); err == nil {
			t.Errorf("%s: got %d bytes, want an error", test.name, len(short))
		}
	}
}

func TestVariantsInVariantsComeToAnEnd(t *testing.T) {
	for depth, bad := range map[int]bool{1: false, maxDepth: false, maxDepth + 1: true, 1 << 20: true} {
		data := bytes.Repeat([]byte("\x01v\x00"), depth-1)
		c := cursor{data: append(data, "\x01y\x00\x05"...), order: binary.LittleEndian}
		if c.skip("v"); c.bad != bad {
			t.Errorf("%d variants: bad is %v, want %v", depth, c.bad, bad)
		}
	}
}

func TestHeaderOfReadsWhatTheDecoderReads(t *testing.T) {
	h, err := headerOf(signal(t, "x"))
	want := header{
		kind: dbus.TypeSignal, path: "/org/freedesktop/systemd1/unit/a_2eservice", iface: "org.freedesktop.DBus.Properties",
		member: "PropertiesChanged", signature: "s", body: h.body,
	}
	if err != nil || h != want {
		t.Errorf("got %+v, %v; want %+v", h, err, want)
	}
	h, err = headerOf(answer(t, binary.BigEndian, "x"))
	if want := (header{kind: dbus.TypeMethodReply, reply: 7, sender: ":1.0", signature: "s", body: h.body}); err != nil || h != want {
		t.Errorf("got %+v, %v; want %+v", h, err, want)
	}
}

// TestASignalThatNobodyReadsIsNotDecoded: PID 1 sends the signals of every unit of the
// host, about a dozen for each that starts.
func TestASignalThatNobodyReadsIsNotDecoded(t *testing.T) {
	const most = 8
	frame := signal(t, "org.freedesktop.systemd1.Service", properties(), []string{})
	seen := 0
	c := &Conn{onSignal: func(Signal) { seen++ }}
	n := testing.AllocsPerRun(100, func() {
		if err := c.dispatch(frame); err != nil {
			t.Fatal(err)
		}
	})
	if n > most || seen == 0 {
		t.Errorf("%d signals took %v allocations each, want at most %d", seen, n, most)
	}
}

// FuzzOnly compares what is left of a message with what the decoder of all of it says.
func FuzzOnly(f *testing.F) {
	f.Add(answer(f, binary.LittleEndian, properties()), "P3")
	f.Add(answer(f, binary.BigEndian, properties()), "P20")
	f.Add(answer(f, binary.LittleEndian, map[string]dbus.Variant{}), "")
	f.Fuzz(func(t *testing.T, raw []byte, name string) {
		if len(raw) < fixedHeader || raw[0] != 'l' && raw[0] != 'B' {
			return
		}
		h, err := headerOf(raw)
		if err != nil {
			return
		}
		short, err := only(raw, h, map[string]bool{name: true})
		c := cursor{data: raw, order: orderOf(raw), pos: h.body}
		if walk(&c, h.signature); err != nil || c.bad {
			return
		}
		m, err := dbus.DecodeMessage(bytes.NewReader(raw))
		if err != nil || len(m.Body) != 1 {
			return
		}
		all, ok := m.Body[0].(map[string]dbus.Variant)
		if !ok {
			return
		}
		got := decoded(t, short)
		if want, has := all[name]; has != (len(got) == 1) || has && !reflect.DeepEqual(got[name].String(), want.String()) {
			t.Errorf("%s of %v is %v", name, all, got)
		}
	})
}

// walk skips a value as cursor.skip does, but looks into arrays. Where an element goes
// beyond the end of its array, the message is none, and the decoder of all of it does
// not notice, but goes on behind the element.
func walk(c *cursor, signature string) string {
	first, rest := cut(signature)
	switch {
	case first == "":
		c.bad = true
	case first[0] == 'a':
		n := int(c.uint32())
		c.align(alignment(first[1]))
		end := c.pos + n
		for !c.bad && c.pos < end {
			from := c.pos
			walk(c, first[1:])
			c.bad = c.bad || c.pos == from // a struct of nothing
		}
		c.bad = c.bad || c.pos != end
	case first[0] == 'v':
		c.depth++
		if c.depth > maxDepth || walk(c, c.signature()) != "" {
			c.bad = true
		}
		c.depth--
	case first[0] == '(' || first[0] == '{':
		c.align(8)
		for fields := first[1 : len(first)-1]; fields != "" && !c.bad; {
			fields = walk(c, fields)
		}
	default:
		c.skip(first)
	}
	return rest
}

// BenchmarkSignal is what a signal costs that is only an invitation to look, and what
// one that somebody reads.
func BenchmarkSignal(b *testing.B) {
	frame := signal(b, "org.freedesktop.systemd1.Service", properties(), []string{})
	for name, read := range map[string]func(Signal){
		"left alone": func(Signal) {},
		"read": func(s Signal) {
			if _, err := s.Body(); err != nil {
				b.Fatal(err)
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			c := &Conn{onSignal: read}
			b.ReportAllocs()
			for b.Loop() {
				if err := c.dispatch(frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkProperties is what the answer of PID 1 for a unit costs: of 350 properties
// 60 are wanted, and among these is the list of system calls.
func BenchmarkProperties(b *testing.B) {
	all, wanted := make(map[string]dbus.Variant), make(map[string]bool)
	values := properties()
	for i := range 350 {
		name := fmt.Sprint("Property", i)
		all[name] = values[fmt.Sprint("P", i%len(values))]
		wanted[name] = i%6 == 0
	}
	calls := make([]string, 350)
	for i := range calls {
		calls[i] = fmt.Sprint("system_call_", i)
	}
	all["SystemCallFilter"], wanted["SystemCallFilter"] = dbus.MakeVariant(calls), true
	frame := answer(b, binary.LittleEndian, all)
	for _, which := range []struct {
		name string
		only map[string]bool
	}{{"all", nil}, {"wanted", wanted}} {
		b.Run(which.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				answers := make(chan Reply, 1)
				c := &Conn{waiting: map[uint32]pending{7: {answers, 0, which.only}}}
				if err := c.dispatch(frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
