// SPDX-License-Identifier: MPL-2.0

// Package journal writes records to the systemd journal in its native protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL).
//
// What clients of the broker send ends up in the values of fields. Every value is
// written with its length before it, so none can begin another field, and a name
// that is no field's refuses the record. A write never waits long: whoever has to
// know that a record was taken learns that it was not.
package journal
