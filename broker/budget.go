// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"sync"
)

// What clients can make the broker keep, by our reckoning, which takes each thing for
// at least what it costs; below the MemoryMax= of its unit. A thousand starts at once
// are half of what one client may.
const (
	maxKept       = 96 << 20
	maxKeptPerUID = 48 << 20
	// streamCost is a call: its goroutines, its headers (maxHeaders) and what gRPC
	// keeps of it.
	streamCost = 12 << 10
	// chunkCost is a piece of a message beside its bytes.
	chunkCost = 128
	// elementCost is an element of a decoded message beside its bytes.
	elementCost = 64
)

// errKept: one client must not take the memory of the others.
var errKept = errors.New("the calls of this client that are under way are too large together; try again when some are answered")

// budget counts what the broker keeps for clients, in bytes.
type budget struct {
	mu    sync.Mutex
	total int
	byUID map[uint32]int
}

func newBudget() *budget { return &budget{byUID: make(map[uint32]int)} }

// take reports whether n bytes more fit, and counts them if they do.
func (b *budget) take(uid uint32, n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.total+n > maxKept || b.byUID[uid]+n > maxKeptPerUID {
		return false
	}
	b.total += n
	b.byUID[uid] += n
	return true
}

func (b *budget) give(uid uint32, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total -= n
	if b.byUID[uid] -= n; b.byUID[uid] == 0 {
		delete(b.byUID, uid)
	}
}
