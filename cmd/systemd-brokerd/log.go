// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"

	"nomad-systemd-driver/broker"
	"nomad-systemd-driver/broker/journal"
)

// newLog makes the daemon's log: structured journal records under systemd,
// lines of text elsewhere.
func newLog(name string, level slog.Level, stderr io.Writer) (*slog.Logger, error) {
	switch name {
	case "auto":
		if os.Getenv("JOURNAL_STREAM") != "" {
			return slog.New(&journalHandler{socket: journal.New(journal.Path), level: level}), nil
		}
	case "journal":
		return slog.New(&journalHandler{socket: journal.New(journal.Path), level: level}), nil
	case "stderr":
	default:
		return nil, fmt.Errorf("--log %q is not journal, stderr or auto", name)
	}
	return slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})), nil
}

// journalHandler writes records to the journal in its native protocol, where
// each attribute is a field of its own and cannot pass for another. An
// attribute whose name is not a journal field's gets one under BROKER_.
type journalHandler struct {
	socket *journal.Socket
	level  slog.Level
	attrs  []slog.Attr
}

// auditSink is where audit records go: to the journal if the log does, whatever
// its level, else (nil) into the log.
func auditSink(log *slog.Logger) broker.Sink {
	if h, ok := log.Handler().(*journalHandler); ok {
		return h.socket
	}
	return nil
}

// Enabled implements slog.Handler.
func (h *journalHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

// Handle implements slog.Handler.
func (h *journalHandler) Handle(_ context.Context, r slog.Record) error {
	fields := make([]journal.Field, 0, r.NumAttrs()+len(h.attrs))
	var text strings.Builder
	text.WriteString(r.Message)
	add := func(a slog.Attr) bool {
		value := a.Value.String()
		name := fieldName(a.Key)
		fields = append(fields, journal.Field{Name: name, Value: value})
		text.WriteString(" " + strings.ToLower(strings.TrimPrefix(name, "BROKER_")) + "=" + strconv.Quote(value))
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	return h.socket.Write(journal.Record{Priority: priority(r.Level), Message: text.String(), Fields: fields})
}

// WithAttrs implements slog.Handler.
func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &journalHandler{h.socket, h.level, append(slices.Clip(h.attrs), attrs...)}
}

// WithGroup implements slog.Handler; groups are not used.
func (h *journalHandler) WithGroup(string) slog.Handler { return h }

func fieldName(key string) string {
	if journal.ValidName(key) {
		return key
	}
	return "BROKER_" + strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(key))
}

func priority(l slog.Level) journal.Priority {
	switch {
	case l >= slog.LevelError:
		return journal.Err
	case l >= slog.LevelWarn:
		return journal.Warning
	case l >= slog.LevelInfo:
		return journal.Info
	}
	return journal.Debug
}
