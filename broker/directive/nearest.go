// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"fmt"
	"iter"
	"strings"
)

// nearest is the word most like s, if one is alike: in other case, or with at
// most a third of its letters changed.
func nearest(s string, words iter.Seq[string]) (string, bool) {
	best, least := "", min(len(s), 64)/3+1
	for w := range words {
		if d := distance(strings.ToLower(s), strings.ToLower(w), least); d < least {
			best, least = w, d
		}
	}
	return best, best != ""
}

// didYouMean ends a message about a word that is not one of words.
func didYouMean(s string, words iter.Seq[string]) string {
	if w, ok := nearest(s, words); ok {
		return fmt.Sprintf("; did you mean %s?", w)
	}
	return ""
}

// distance is how many letters must be added, removed or changed to make b of a
// (Levenshtein), or limit if it is at least that.
func distance(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return min(row[len(b)], limit)
}
