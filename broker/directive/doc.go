// SPDX-License-Identifier: MPL-2.0

// Package directive knows the directives of systemd that a unit may be given by
// their unit-file names: how their values are written, what PID 1 takes for them
// over D-Bus, since when, and what they put at risk.
//
// The threat: PID 1 writes most strings unescaped into the unit's file and reads
// them again at each daemon-reload, so a line end, or a backslash before one, in
// any value would become a directive that runs as root; and PID 1 ignores much
// that it does not understand, so a misspelt restriction would be none. The duty:
// whatever [Directive.Parse] returns means to PID 1 what the text says, now and
// after a daemon-reload, and anything else is an error. A directive that is not
// in the table does not exist.
package directive
