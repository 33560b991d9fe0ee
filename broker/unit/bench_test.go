// SPDX-License-Identifier: MPL-2.0

package unit

import "testing"

// BenchmarkFrom is the conversion of one decision.
func BenchmarkFrom(b *testing.B) {
	d := decide(b, testPolicy(b), "testdata/full.json")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := From(d, host); err != nil {
			b.Fatal(err)
		}
	}
}

// TestFromIsCheap holds the cost of a conversion down: it is paid at each start.
func TestFromIsCheap(t *testing.T) {
	const most = 170
	d := decide(t, testPolicy(t), "testdata/full.json")
	n := testing.AllocsPerRun(100, func() {
		if _, err := From(d, host); err != nil {
			t.Fatal(err)
		}
	})
	if n > most {
		t.Errorf("a conversion takes %.0f allocations, want at most %d", n, most)
	}
}
