// SPDX-License-Identifier: MPL-2.0

//go:build !crashpoint

// Package crashpoint marks the steps of a start, a stop and a removal at which a test
// kills the broker, or has it wait while a client changes what it looked at. In a
// program that is built without the tag crashpoint, as all that are shipped, it is empty.
package crashpoint

// Here does nothing.
func Here(string) {}
