// SPDX-License-Identifier: MPL-2.0

// Package broker serves the broker API (proto/broker/v1) to unprivileged
// clients and starts their programs as transient systemd services.
//
// Trust: the process at the other end of the socket, everything it sends and
// every directory it owns are taken to be hostile. Its identity is the uid the
// kernel reports for the connection and nothing else. The package's duty is
// that no request reaches PID 1 but through this walk, in this order:
//
//  1. peercred.go: the kernel's uid must belong to a client of the policy, else
//     the connection is closed before a byte of it is parsed.
//  2. calls.go, errors.go: every call gets an id, and its error is translated.
//  3. validate.go: the message becomes a policy.Request, or is refused.
//  4. start.go: policy.Decide, on exactly the request that is executed. audit.go
//     writes the decision down; what cannot be recorded is not started.
//  5. start.go: what the unit needs is prepared: descriptors (fds.go), the
//     environment (environment.go), the root directory (root.go).
//  6. unit.From turns the decision, and only a decision, into a unit.
//  7. systemd.Conn.Start takes only such a unit.
//
// The broker keeps nothing on disk. What it knows of its units it reads from
// PID 1 when it starts (registry.go), so it can be killed at any time. What was
// asked for lies below /run for a later policy to be compared with (requests.go,
// reconcile.go), and decides nothing.
package broker
