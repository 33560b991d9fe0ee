// SPDX-License-Identifier: MPL-2.0

// Package systemd is the only package that talks to PID 1. It starts transient
// services, reads their state, signals and stops them, and reports which of
// them have changed. org.freedesktop.systemd1(5) describes the other side.
//
// It prefers PID 1's private socket, which works without a bus daemon and is
// open to root alone, and falls back to the system bus. It reconnects by
// itself: PID 1 ends every private connection when it executes itself anew.
//
// Threat: whoever can make this package start a unit of his choice is root.
// [Conn.Start] therefore takes only a [unit.Unit], which cannot be made without
// a decision of the policy.
//
// Duty of the caller: give every call a context with a deadline; treat
// [ErrOutcomeUnknown] as "may have happened"; and keep one goroutine in
// [Conn.Next], re-reading what it names, since a change is only an invitation
// to look.
package systemd
