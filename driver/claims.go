// SPDX-License-Identifier: MPL-2.0

package driver

// claims keep the start of a task and the removal of an orphan with the same id
// apart: a unit whose task is about to be known is none. The driver's mutex
// guards them.
type claims struct {
	starting map[string]int // calls under way
	removing map[string]bool
}

func newClaims() claims {
	return claims{starting: make(map[string]int), removing: make(map[string]bool)}
}

// claimStart reserves the id for a start, which ends with done; false if its
// unit is being removed.
func (d *Driver) claimStart(id string) (done func(), ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.claims.removing[id] {
		return nil, false
	}
	d.claims.starting[id]++
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.claims.starting[id]--; d.claims.starting[id] == 0 {
			delete(d.claims.starting, id)
		}
	}, true
}

// claimOrphan reserves the id for the removal of its unit, which ends with done;
// false if there is a task with the id, or is about to be.
func (d *Driver) claimOrphan(id string) (done func(), ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tasks[id] != nil || d.claims.starting[id] > 0 || d.claims.removing[id] {
		return nil, false
	}
	d.claims.removing[id] = true
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.claims.removing, id)
	}, true
}
