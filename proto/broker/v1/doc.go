// SPDX-License-Identifier: MPL-2.0

// Package brokerv1 is the interface between an unprivileged client and
// systemd-brokerd, generated from broker.proto, whose comments are its manual.
package brokerv1
