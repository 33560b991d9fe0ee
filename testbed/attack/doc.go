// SPDX-License-Identifier: MPL-2.0

// Package attack lists what an attacker may try (catalogue.tsv), each with the tests
// that show what comes of it, or why there is nothing to show.
package attack
