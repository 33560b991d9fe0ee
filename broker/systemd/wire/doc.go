// SPDX-License-Identifier: MPL-2.0

// Package wire is one client connection to one D-Bus peer: it authenticates,
// sends method calls, matches replies and hands signals on. godbus encodes and
// decodes the messages.
//
// Threat: a message carries strings chosen by whoever asked for the unit, and
// the peer is PID 1. If only a part of a message were written and the
// connection used on, PID 1 would read the next message as the rest of the
// first one, and strings inside a later message could be taken for a method
// call of their own. godbus' own transport can do that when a message with
// file descriptors is larger than the socket buffer. Here a message is written
// whole, or the connection ends; there is no third way.
//
// Duty of the caller: tell [ErrNotSent] (safe to repeat) from [ErrNoReply] (the
// peer may have acted) and never repeat the latter blindly.
package wire
