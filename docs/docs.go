// SPDX-License-Identifier: MPL-2.0

// Package docs holds the pages whose commands tests run.
package docs

import "embed"

// Files are the pages.
//
//go:embed *.md
var Files embed.FS
