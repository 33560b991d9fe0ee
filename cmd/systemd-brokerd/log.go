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

	"github.com/coreos/go-systemd/v22/journal"
)

// newLog makes the daemon's log: structured journal records under systemd,
// lines of text elsewhere.
func newLog(name string, level slog.Level, stderr io.Writer) (*slog.Logger, error) {
	switch name {
	case "auto":
		if os.Getenv("JOURNAL_STREAM") != "" && journal.Enabled() {
			return slog.New(&journalHandler{level: level}), nil
		}
	case "journal":
		return slog.New(&journalHandler{level: level}), nil
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
	level slog.Level
	attrs []slog.Attr
}

// Enabled implements slog.Handler.
func (h *journalHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

// Handle implements slog.Handler.
func (h *journalHandler) Handle(_ context.Context, r slog.Record) error {
	fields := make(map[string]string, r.NumAttrs()+len(h.attrs)+1)
	var text strings.Builder
	text.WriteString(r.Message)
	add := func(a slog.Attr) bool {
		value := a.Value.String()
		name := fieldName(a.Key)
		fields[name] = value
		text.WriteString(" " + strings.ToLower(strings.TrimPrefix(name, "BROKER_")) + "=" + strconv.Quote(value))
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	return journal.Send(text.String(), priority(r.Level), fields)
}

// WithAttrs implements slog.Handler.
func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &journalHandler{h.level, append(slices.Clip(h.attrs), attrs...)}
}

// WithGroup implements slog.Handler; groups are not used.
func (h *journalHandler) WithGroup(string) slog.Handler { return h }

func fieldName(key string) string {
	if key == strings.ToUpper(key) {
		return key
	}
	return "BROKER_" + strings.ToUpper(key)
}

func priority(l slog.Level) journal.Priority {
	switch {
	case l >= slog.LevelError:
		return journal.PriErr
	case l >= slog.LevelWarn:
		return journal.PriWarning
	case l >= slog.LevelInfo:
		return journal.PriInfo
	}
	return journal.PriDebug
}
