// SPDX-License-Identifier: MPL-2.0

package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// parse reads a record as journald does (server_process_entry in systemd's
// journald-native.c), for the form that Encode writes and the one without lengths.
func parse(b []byte) ([]Field, error) {
	var fields []Field
	for len(b) > 0 {
		line, rest, ok := strings.Cut(string(b), "\n")
		if !ok {
			return nil, errors.New("a line without an end")
		}
		if name, value, ok := strings.Cut(line, "="); ok {
			fields, b = append(fields, Field{name, value}), []byte(rest)
			continue
		}
		if len(rest) < 8 {
			return nil, errors.New("no length")
		}
		n := binary.LittleEndian.Uint64([]byte(rest))
		if n >= uint64(len(rest)-8) || rest[8+n] != '\n' {
			return nil, fmt.Errorf("wrong length %d", n)
		}
		fields, b = append(fields, Field{line, rest[8 : 8+n]}), []byte(rest[8+n+1:])
	}
	return fields, nil
}

func own(message string) []Field {
	return []Field{{"MESSAGE", message}, {"PRIORITY", "6"}, {"SYSLOG_IDENTIFIER", "systemd-brokerd"}}
}

// FuzzEncode: whatever a value holds, journald reads that value and no further
// field.
func FuzzEncode(f *testing.F) {
	for _, v := range []string{"", "x", "a\nMESSAGE=b\n", "\nMESSAGE_ID\n\x01\x00\x00\x00\x00\x00\x00\x00x\n", "=", "\x00\xff", "_UID=0\n"} {
		f.Add("BROKER_REASON", v, v)
		f.Add(v, "y", v)
	}
	f.Fuzz(func(t *testing.T, name, value, message string) {
		b, err := Encode(Record{Info, message, []Field{{name, value}, {"LAST", "z"}}})
		if err != nil {
			if ValidName(name) && len(value)+len(message) < maxRecord/2 {
				t.Fatal(err)
			}
			return
		}
		got, err := parse(b)
		if want := append(own(message), Field{name, value}, Field{"LAST", "z"}); err != nil || !slices.Equal(got, want) {
			t.Fatalf("journald reads %q, %v; want %q", got, err, want)
		}
	})
}

func TestEncodeRefusesWhatIsNoField(t *testing.T) {
	for _, name := range []string{"", "_UID", "lower", "A B", "A=B", "A\nB", "Ä", "1A", strings.Repeat("A", 65)} {
		if _, err := Encode(Record{Info, "x", []Field{{name, "v"}}}); err == nil {
			t.Errorf("%q passes for a name", name)
		}
	}
	if _, err := Encode(Record{Info, strings.Repeat("x", maxRecord), nil}); err == nil {
		t.Error("a record passes that no datagram holds")
	}
}

func listen(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func receive(t *testing.T, l *net.UnixConn) []Field {
	t.Helper()
	_ = l.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 1<<20)
	n, err := l.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := parse(b[:n])
	if err != nil {
		t.Fatal(err)
	}
	return fields
}

func TestWriteFindsAJournaldThatCameBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := New(path)
	defer s.Close()
	if err := s.Write(Record{Info, "x", nil}); err == nil {
		t.Error("nobody listens, and the record passes for written")
	}
	for _, message := range []string{"one", "two"} {
		l := listen(t, path)
		if err := s.Write(Record{Info, message, nil}); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, l); !slices.Equal(got, own(message)) {
			t.Errorf("journald received %q", got)
		}
		if err := errors.Join(l.Close(), os.Remove(path)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWriteGivesUpOnAJournaldThatHangs, the second time at once, and writes again
// when it reads.
func TestWriteGivesUpOnAJournaldThatHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l := listen(t, path)
	s := New(path)
	defer s.Close()
	large := Record{Info, strings.Repeat("x", 100<<10), nil}
	var err error
	for n := 0; err == nil; n++ {
		if n > 10000 {
			t.Fatal("the queue never fills")
		}
		err = s.Write(large)
	}
	begin := time.Now()
	if err := s.Write(large); err == nil || time.Since(begin) > patience/2 {
		t.Errorf("a second try gives %v after %s", err, time.Since(begin))
	}
	for s.Write(Record{Info, "again", nil}) != nil {
		receive(t, l)
	}
}

func TestLargestRecordFitsIntoADatagram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l := listen(t, path)
	s := New(path)
	defer s.Close()
	message := strings.Repeat("x", maxRecord-200)
	if err := s.Write(Record{Info, message, nil}); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, l); !slices.Equal(got, own(message)) {
		t.Errorf("journald received %d fields", len(got))
	}
}
