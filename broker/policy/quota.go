// SPDX-License-Identifier: MPL-2.0

package policy

// Quota bounds what all units of one rule are and have together; 0 is no bound.
type Quota struct {
	Units       int
	MemoryTotal uint64 // bytes
	// StartsPerMinute does not count sessions.
	StartsPerMinute int
}

// Usage is what the units of a rule are and have.
type Usage struct {
	Units  int
	Memory uint64 // bytes
	// Starts are those of the last minute.
	Starts int
}

// Exceeded is the key of the bound that one more unit with this much memory would be
// beyond; empty if there is room. 0 is memory without a limit.
func (q Quota) Exceeded(now Usage, memory uint64, session bool) string {
	switch total := q.MemoryTotal; {
	case q.Units > 0 && now.Units >= q.Units:
		return "units"
	// Unlimited memory is refused by the policy where there is a total.
	case total > 0 && (memory == 0 || memory > total || now.Memory > total-memory):
		return "memory_total"
	case q.StartsPerMinute > 0 && !session && now.Starts >= q.StartsPerMinute:
		return "starts_per_minute"
	}
	return ""
}
