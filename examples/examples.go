// SPDX-License-Identifier: MPL-2.0

// Package examples holds the example jobs, for the tests that run each of them.
package examples

import "embed"

// Files are the jobs and the policy that they need.
//
//go:embed *.hcl
var Files embed.FS
