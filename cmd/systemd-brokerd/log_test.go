// SPDX-License-Identifier: MPL-2.0

package main

import (
	"encoding/binary"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nomad-systemd-driver/broker/journal"
)

// TestLogKeepsTheJournalsFieldsApart, whatever the names and values are.
func TestLogKeepsTheJournalsFieldsApart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket := journal.New(path)
	defer socket.Close()
	log := slog.New(&journalHandler{socket: socket, level: slog.LevelInfo})
	log.Debug("not this")
	log.With(slog.String("unit", "a")).Warn("it\nfailed", slog.String("we ird", "v\nMESSAGE=forged"), slog.String("BROKER_UNIT", "b"))
	_ = l.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 1<<16)
	n, err := l.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	got := string(b[:n])
	for name, value := range map[string]string{
		"MESSAGE":       "it\nfailed unit=\"a\" we_ird=\"v\\nMESSAGE=forged\" unit=\"b\"",
		"PRIORITY":      "4",
		"BROKER_UNIT":   "b",
		"BROKER_WE_IRD": "v\nMESSAGE=forged",
	} {
		field := name + "\n" + string(binary.LittleEndian.AppendUint64(nil, uint64(len(value)))) + value + "\n"
		if !strings.Contains(got, field) {
			t.Errorf("%s=%q is missing in %q", name, value, got)
		}
	}
	if auditSink(log) != socket {
		t.Error("audit records go elsewhere")
	}
	if auditSink(slog.New(slog.DiscardHandler)) != nil {
		t.Error("audit records go to the journal, and the log does not")
	}
}
