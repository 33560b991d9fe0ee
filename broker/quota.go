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
	if quota.Units > 0 && units >= quota.Units {
		return quotaReached(r, "units", fmt.Sprintf("%d units", quota.Units))
	}
	// Unlimited memory is refused by the policy where there is a total.
	if total := quota.MemoryTotal; total > 0 && (r.memory == 0 || r.memory > total || memory > total-r.memory) {
		return quotaReached(r, "memory_total", fmt.Sprintf("%d MiB in all, of which others have %d, and this unit asks for %d", total>>20, memory>>20, r.memory>>20))
	}
	if quota.StartsPerMinute == 0 || r.session != "" {
		return nil
	}
	key := ruleKey{r.client, r.rule}
	recent := g.starts[key]
	for len(recent) > 0 && now.Sub(recent[0]) >= quotaWindow {
		recent = recent[1:]
	}
	if len(recent) >= quota.StartsPerMinute {
		g.starts[key] = recent
		return quotaReached(r, "starts_per_minute", fmt.Sprintf("%d starts in a minute", quota.StartsPerMinute))
	}
	g.starts[key] = append(recent, now)
	return nil
}

func quotaReached(r *record, key, what string) error {
	return &quotaError{fmt.Sprintf("the tasks of rule %q may have together %s; wait or stop tasks, or ask the operator to raise quotas.%s of the rule", r.rule, what, key)}
}
