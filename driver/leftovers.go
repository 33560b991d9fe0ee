// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"cmp"
	"errors"

	"nomad-systemd-driver/opening"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// removal is the request to remove the unit of t. It asks for the task's directories to
// be opened if there is something below them that the agent, a user without privileges,
// could not remove: directories that the task made as its own user, where ids are not
// mapped. Most tasks make none, and cost no process then. Where ids are mapped all is
// the agent's own, and it needs no help.
//
// Nomad does not tell a driver whether a task that has ended is started anew. So what can
// be removed as it is stays as it is, and what other tasks of the allocation use.
func (d *Driver) removal(t *task) *brokerv1.RemoveUnitRequest {
	dir, req := t.config.TaskDir(), &brokerv1.RemoveUnitRequest{Handle: t.handle}
	shared, sameUser := d.siblings(t)
	problem := cmp.Or(opening.Own(dir.LocalDir), opening.Own(dir.SecretsDir))
	switch {
	case sameUser:
		req.KeepAlloc = true
	case shared:
		problem = cmp.Or(problem, opening.Removable(dir.SharedAllocDir))
	default:
		problem = cmp.Or(problem, opening.Own(dir.SharedAllocDir))
	}
	if problem == nil {
		return &brokerv1.RemoveUnitRequest{Handle: t.handle}
	}
	req.Open = &brokerv1.Directories{Alloc: dir.SharedAllocDir, Local: dir.LocalDir, Secrets: dir.SecretsDir}
	if others, ok := errors.AsType[*opening.OthersError](problem); ok {
		req.OpenUid = others.UID
	}
	return req
}

// siblings reports whether other tasks of the allocation of t run, and whether one runs
// as the same user of the host.
func (d *Driver) siblings(t *task) (shared, sameUser bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, other := range d.tasks {
		if other != t && other.config.AllocID == t.config.AllocID && other.exit() == nil {
			shared = true
			sameUser = sameUser || t.config.User != "" && other.config.User == t.config.User
		}
	}
	return shared, sameUser
}
