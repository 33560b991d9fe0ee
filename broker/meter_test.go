// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"golang.org/x/net/http2"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// TestCallsTakeOneMessage: a call that takes more would keep none of those before,
// and count all of them.
func TestCallsTakeOneMessage(t *testing.T) {
	methods := brokerv1.File_broker_v1_broker_proto.Services().ByName("BrokerService").Methods()
	for i := range methods.Len() {
		if m := methods.Get(i); m.IsStreamingClient() {
			t.Errorf("%s takes a stream of messages, which the meter counts as one", m.Name())
		}
	}
	if methods.Len() == 0 {
		t.Error("there are no methods")
	}
}

func header(length int, kind, flags byte, stream uint32) []byte {
	b := []byte{byte(length >> 16), byte(length >> 8), byte(length), kind, flags}
	return binary.BigEndian.AppendUint32(b, stream)
}

func whole(length int, kind, flags byte, stream uint32) []byte {
	return append(header(length, kind, flags, stream), make([]byte, length)...)
}

func TestMeter(t *testing.T) {
	open := whole(3, frameHeaders, 0x4, 1)
	piece := whole(100, frameData, 0, 1)
	const pieceCost = 100 + chunkCost
	for _, test := range []struct {
		name     string
		received [][]byte
		sent     [][]byte
		want     int
		err      error
	}{
		{name: "nothing"},
		{name: "a call", received: [][]byte{open}, want: streamCost},
		{name: "a call and what comes with it", received: [][]byte{open, piece, piece}, want: streamCost + 2*pieceCost},
		{name: "headers of which a byte lacks", received: [][]byte{open[:8]}},
		{name: "a piece of which the bytes lack", received: [][]byte{open, header(100, frameData, 0, 1)}, want: streamCost + pieceCost},
		{name: "an empty piece", received: [][]byte{open, whole(0, frameData, 0, 1)}, want: streamCost},
		{name: "trailers of the client", received: [][]byte{open, whole(3, frameHeaders, 0x5, 1)}, want: streamCost},
		{name: "bytes of no call", received: [][]byte{piece}},
		{name: "other frames", received: [][]byte{whole(6, 4, 0, 0), whole(8, 6, 0, 0), whole(4, 8, 0, 1)}},
		{name: "a padded piece", received: [][]byte{open, whole(100, frameData, flagPadded, 1)}, want: streamCost, err: errPadded},
		{name: "a reserved bit before the number", received: [][]byte{whole(3, frameHeaders, 0x4, 1<<31|1), piece}, want: streamCost + pieceCost},
		{name: "a call taken back", received: [][]byte{open, piece, whole(4, frameReset, 0, 1)}},
		{name: "a call taken back twice", received: [][]byte{open, whole(4, frameReset, 0, 1), whole(4, frameReset, 0, 1)}},
		{name: "bytes of a call taken back", received: [][]byte{open, whole(4, frameReset, 0, 1), piece}},
		{name: "an answer with more to come", received: [][]byte{open, piece}, sent: [][]byte{whole(3, frameHeaders, 0x4, 1), whole(9, frameData, 0, 1)}, want: streamCost + pieceCost},
		{name: "an answer", received: [][]byte{open, piece}, sent: [][]byte{whole(3, frameHeaders, 0x4, 1), whole(9, frameData, 0, 1), whole(3, frameHeaders, 0x5, 1)}},
		{name: "an answer to another", received: [][]byte{open, piece}, sent: [][]byte{whole(3, frameHeaders, 0x5, 3)}, want: streamCost + pieceCost},
		{name: "a refusal", received: [][]byte{open, piece}, sent: [][]byte{whole(4, frameReset, 0, 1)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, size := range []int{1, 7, 1 << 20} {
				b := newBudget()
				m := newMeter(b, 1)
				err := inPieces(append([]byte(http2.ClientPreface), slices.Concat(test.received...)...), size, m.received)
				_ = inPieces(slices.Concat(test.sent...), size, func(p []byte) error { m.sent(p); return nil })
				if !errors.Is(err, test.err) || b.total != test.want || b.byUID[1] != test.want {
					t.Errorf("in pieces of %d: got %v, %d bytes, %d of the uid; want %v, %d", size, err, b.total, b.byUID[1], test.err, test.want)
				}
				m.end()
				if b.total != 0 || len(b.byUID) != 0 {
					t.Errorf("%d bytes are left, %v", b.total, b.byUID)
				}
			}
		})
	}
}

func inPieces(b []byte, size int, feed func([]byte) error) error {
	for p := range slices.Chunk(b, size) {
		if err := feed(p); err != nil {
			return err
		}
	}
	return nil
}

// TestMeterEndsWhereTheBudgetDoes: with that of the uid, and with that of all.
// TestAnswerToACallTakenBackIsNotKept: gRPC hands it over whether or not it is to be
// sent.
func TestAnswerToACallTakenBackIsNotKept(t *testing.T) {
	b := newBudget()
	m := newMeter(b, 1)
	calls := slices.Concat([]byte(http2.ClientPreface), whole(3, frameHeaders, 0x4, 1), whole(4, frameReset, 0, 1))
	if err := errors.Join(m.received(calls), m.answer(100)); err != nil || b.total != 0 {
		t.Errorf("got %v, and %d bytes are kept", err, b.total)
	}
}

func TestMeterEndsWhereTheBudgetDoes(t *testing.T) {
	b := newBudget()
	fill := func(uid uint32) (m *meter, frames int) {
		m = newMeter(b, uid)
		if err := m.received(append([]byte(http2.ClientPreface), whole(3, frameHeaders, 0x4, 1)...)); err != nil {
			return m, 0
		}
		piece := whole(16<<10, frameData, 0, 1)
		for m.received(piece) == nil {
			frames++
		}
		return m, frames
	}
	const most = (maxKeptPerUID - streamCost) / (16<<10 + chunkCost)
	first, n := fill(1)
	if n != most {
		t.Errorf("a client could send %d pieces, want %d", n, most)
	}
	if _, n := fill(1); n != 0 {
		t.Errorf("another connection of it could send %d pieces", n)
	}
	if _, n := fill(2); n < most {
		t.Errorf("another client could send %d pieces, want %d", n, most)
	}
	if _, n := fill(3); n > 2 {
		t.Errorf("a third could send %d pieces over the budget of all", n)
	}
	if err := first.answer(1 << 20); !errors.Is(err, errKept) {
		t.Errorf("an answer over the budget: %v", err)
	}
	if _, err := first.hold(1 << 20); !errors.Is(err, errKept) {
		t.Errorf("a request over the budget: %v", err)
	}
	first.end()
	if _, n := fill(3); n < most-2 {
		t.Errorf("of what the first gave back, a third could use %d pieces", n)
	}
}

func TestMeterCountsAnswersUntilTheyAreSent(t *testing.T) {
	b := newBudget()
	m := newMeter(b, 1)
	if err := m.received(append([]byte(http2.ClientPreface), slices.Concat(whole(3, frameHeaders, 0x4, 1), whole(3, frameHeaders, 0x4, 3))...)); err != nil {
		t.Fatal(err)
	}
	if err := m.answer(1000); err != nil {
		t.Fatal(err)
	}
	m.sent(whole(605, frameData, 0, 1))
	if want := 2*streamCost + 400; b.total != want {
		t.Errorf("%d bytes are kept, want %d", b.total, want)
	}
	m.sent(whole(400, frameData, 0, 1))
	if want := 2 * streamCost; b.total != want {
		t.Errorf("%d bytes are kept, want %d", b.total, want)
	}
	_ = m.answer(1000) // to calls that the client takes back
	_ = m.received(slices.Concat(whole(4, frameReset, 0, 1), whole(4, frameReset, 0, 3)))
	if b.total != 0 {
		t.Errorf("%d bytes are kept of no call", b.total)
	}
}

// FuzzMeter: whatever both sides send, in whatever pieces, all of it is given back.
func FuzzMeter(f *testing.F) {
	call := slices.Concat(whole(3, frameHeaders, 0x4, 1), whole(100, frameData, 0, 1))
	f.Add(call, whole(3, frameHeaders, 0x5, 1), 7)
	f.Add(slices.Concat(call, whole(4, frameReset, 0, 1)), whole(105, frameData, 0, 1), 1)
	f.Add(header(1<<24-1, frameData, 0, 1), []byte{0}, 100)
	f.Fuzz(func(t *testing.T, received, sent []byte, size int) {
		size = max(1, min(size, 1<<20))
		b := newBudget()
		var found [2][]frame
		for i, size := range []int{size, 1 << 30} {
			var fs frames
			_ = inPieces(received, size, func(p []byte) error {
				return fs.feed(p, func(h frame) error { found[i] = append(found[i], h); return nil })
			})
		}
		if !slices.Equal(found[0], found[1]) {
			t.Fatalf("in pieces of %d there are the frames %v, at once %v", size, found[0], found[1])
		}
		m := newMeter(b, 1)
		m.in.skip = 0
		_ = inPieces(received, size, m.received)
		_ = m.answer(len(sent) / 2)
		_ = inPieces(sent, size, func(p []byte) error { m.sent(p); return nil })
		sum := m.answers
		for _, kept := range m.calls {
			sum += kept
		}
		if b.total != sum || b.byUID[1] != sum || sum > maxKeptPerUID || m.answers < 0 {
			t.Fatalf("%d bytes are counted, %v; the calls keep %d and %d", b.total, b.byUID, sum-m.answers, m.answers)
		}
		m.end()
		if b.total != 0 || len(b.byUID) != 0 {
			t.Fatalf("%d bytes are left, %v", b.total, b.byUID)
		}
	})
}
