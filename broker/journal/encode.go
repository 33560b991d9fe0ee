// SPDX-License-Identifier: MPL-2.0

package journal

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// Priority is that of syslog(3).
type Priority int

// The priorities in use.
const (
	Err     Priority = 3
	Warning Priority = 4
	Notice  Priority = 5
	Info    Priority = 6
	Debug   Priority = 7
)

// Field is a name of capital letters, digits and underscores, and any value.
type Field struct{ Name, Value string }

// Record is one entry of the journal.
type Record struct {
	Priority Priority
	Message  string
	Fields   []Field
}

const (
	// maxRecord is what fits into a datagram with the kernel's default for the
	// buffer of a socket (net.core.wmem_default, 208 KiB).
	maxRecord = 192 << 10
	// maxName is journald's (journal_field_valid in systemd's source).
	maxName = 64
)

// Encode is the record as journald reads it.
func Encode(r Record) ([]byte, error) {
	own := []Field{
		{"MESSAGE", r.Message}, {"PRIORITY", strconv.Itoa(int(r.Priority))}, {"SYSLOG_IDENTIFIER", "systemd-brokerd"},
	}
	var b []byte
	for _, fields := range [][]Field{own, r.Fields} {
		for _, f := range fields {
			if !ValidName(f.Name) {
				return nil, fmt.Errorf("cannot write a journal record: %q is not the name of a field", f.Name)
			}
			b = append(b, f.Name...)
			b = append(b, '\n')
			b = binary.LittleEndian.AppendUint64(b, uint64(len(f.Value)))
			b = append(b, f.Value...)
			b = append(b, '\n')
		}
	}
	if len(b) > maxRecord {
		return nil, fmt.Errorf("cannot write a journal record: it has %d bytes, more than %d", len(b), maxRecord)
	}
	return b, nil
}

// ValidName reports whether journald takes a field of this name from a program.
func ValidName(name string) bool {
	if name == "" || len(name) > maxName || name[0] < 'A' || name[0] > 'Z' {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}
