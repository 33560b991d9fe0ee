// SPDX-License-Identifier: MPL-2.0

package directive

import "strings"

// Nearest finds the directive that somebody who wrote name may have meant.
func Nearest(name string) (string, bool) {
	return nearest(name, func(yield func(string) bool) {
		for _, d := range all {
			if !yield(d.Name) {
				return
			}
		}
	})
}

// nearest finds the name that the fewest typing errors make into word: up to a
// third of its letters, not counting letters in the wrong case.
func nearest(word string, names func(yield func(string) bool)) (string, bool) {
	const longest = 64
	if word == "" || len(word) > longest {
		return "", false
	}
	best, most := "", 0
	lower := strings.ToLower(word)
	for name := range names {
		limit := max(1, min(len(name), len(word))/3)
		d := distance(lower, strings.ToLower(name), limit)
		if d > limit {
			continue
		}
		// Of the equally near ones the first by name: maps have no order.
		if best == "" || d < most || d == most && name < best {
			best, most = name, d
		}
	}
	return best, best != ""
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbor to make a into b; more than limit may be any number above it.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
