// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"time"

	"nomad-systemd-driver/broker/policy"
)

// ruleKey names a rule: that of one client is not another's.
type ruleKey struct{ client, rule string }

// quotaWindow is the minute of starts_per_minute.
const quotaWindow = time.Minute

// takeQuotaLocked refuses r if its rule has no room for it, and else counts its
// start. Units that have ended take no room, whatever of them is left; sessions
// do, but are no starts: script checks are sessions, one every few seconds. A
// start that fails counts, or trying would be free.
//
// Units are found again after a restart of the broker. Starts are not: their
// minute begins anew, and no client can restart the broker.
func (g *registry) takeQuotaLocked(r *record, quota policy.Quota, now time.Time) error {
	units, memory := 0, uint64(0)
	for _, other := range g.byKey {
		if other.client == r.client && other.rule == r.rule && !over(other.state) {
			units++
			memory += other.memory
		}
	}
	key := ruleKey{r.client, r.rule}
	recent := g.starts[key]
	for len(recent) > 0 && now.Sub(recent[0]) >= quotaWindow {
		recent = recent[1:]
	}
	session := r.session != ""
	switch exceeded := quota.Exceeded(policy.Usage{Units: units, Memory: memory, Starts: len(recent)}, r.memory, session); exceeded {
	case "":
	case "units":
		return quotaReached(r, exceeded, fmt.Sprintf("%d units", quota.Units))
	case "memory_total":
		return quotaReached(r, exceeded, fmt.Sprintf("%d MiB in all, of which others have %d, and this unit asks for %d", quota.MemoryTotal>>20, memory>>20, r.memory>>20))
	default:
		g.starts[key] = recent
		return quotaReached(r, exceeded, fmt.Sprintf("%d starts in a minute", quota.StartsPerMinute))
	}
	if quota.StartsPerMinute > 0 && !session {
		g.starts[key] = append(recent, now)
	}
	return nil
}

func quotaReached(r *record, key, what string) error {
	return &quotaError{fmt.Sprintf("the tasks of rule %q may have together %s; wait or stop tasks, or ask the operator to raise quotas.%s of the rule", r.rule, what, key)}
}
