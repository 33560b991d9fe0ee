// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"nomad-systemd-driver/broker/policy"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// quotaRecord is a unit of the rule with this much memory.
func quotaRecord(id, rule string, memory uint64) *record {
	return (&record{client: "c", id: id, unit: id + ".service", rule: rule, memory: memory}).begun()
}

func TestQuotasBoundTheUnitsOfARuleTogether(t *testing.T) {
	for name, row := range map[string]struct {
		quota   policy.Quota
		second  *record
		refused string // part of the error; empty if there is room
	}{
		"units":                         {policy.Quota{Units: 1}, quotaRecord("b", "r", 1), "quotas.units"},
		"units of another rule":         {policy.Quota{Units: 1}, quotaRecord("b", "other", 1), ""},
		"memory":                        {policy.Quota{MemoryTotal: 100}, quotaRecord("b", "r", 41), "quotas.memory_total"},
		"all of the memory":             {policy.Quota{MemoryTotal: 100}, quotaRecord("b", "r", 40), ""},
		"memory that overflows":         {policy.Quota{MemoryTotal: 100}, quotaRecord("b", "r", 1<<64-1), "quotas.memory_total"},
		"unlimited memory":              {policy.Quota{MemoryTotal: 100}, quotaRecord("b", "r", 0), "quotas.memory_total"},
		"starts":                        {policy.Quota{StartsPerMinute: 1}, quotaRecord("b", "r", 1), "quotas.starts_per_minute"},
		"a session, which is no start":  {policy.Quota{StartsPerMinute: 1}, &record{client: "c", id: "b", unit: "b.service", rule: "r", session: "a.service"}, ""},
		"a session, which takes memory": {policy.Quota{MemoryTotal: 100}, &record{client: "c", id: "b", unit: "b.service", rule: "r", session: "a.service", memory: 41}, "quotas.memory_total"},
		"another client":                {policy.Quota{Units: 1}, &record{client: "d", id: "b", unit: "b.service", rule: "r"}, ""},
		"the same request again":        {policy.Quota{Units: 1, StartsPerMinute: 1}, quotaRecord("a", "r", 60), ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRegistry(&cpuPool{})
			if _, _, err := g.reserve(quotaRecord("a", "r", 60), 0, row.quota); err != nil {
				t.Fatalf("the first: %v", err)
			}
			_, _, err := g.reserve(row.second, 0, row.quota)
			if (err == nil) != (row.refused == "") || err != nil && !strings.Contains(err.Error(), row.refused) {
				t.Errorf("the second: %v, want %q", err, row.refused)
			}
		})
	}
}

func TestUnitsThatEndedTakeNoQuota(t *testing.T) {
	g := newRegistry(&cpuPool{})
	quota := policy.Quota{Units: 1, MemoryTotal: 60}
	r, _, err := g.reserve(quotaRecord("a", "r", 60), 0, quota)
	if err != nil {
		t.Fatal(err)
	}
	r.state = brokerv1.UnitState_UNIT_STATE_EXITED
	if _, _, err := g.reserve(quotaRecord("b", "r", 60), 0, quota); err != nil {
		t.Errorf("after the end of the first: %v", err)
	}
}

func TestStartsAreForgottenAfterAMinute(t *testing.T) {
	g := newRegistry(&cpuPool{})
	quota, begin := policy.Quota{StartsPerMinute: 2}, time.Now()
	for _, row := range []struct {
		after time.Duration
		ok    bool
	}{{0, true}, {30 * time.Second, true}, {59 * time.Second, false}, {60 * time.Second, true}, {61 * time.Second, false}, {90 * time.Second, true}} {
		err := g.takeQuotaLocked(quotaRecord("a", "r", 1), quota, begin.Add(row.after))
		if (err == nil) != row.ok {
			t.Errorf("after %s: %v", row.after, err)
		}
	}
	if n := len(g.starts[ruleKey{"c", "r"}]); n != 2 {
		t.Errorf("%d starts are remembered, want 2", n)
	}
}

func TestQuotaHoldsForStartsAtTheSameTime(t *testing.T) {
	g := newRegistry(&cpuPool{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	started := 0
	for i := range 50 {
		wg.Go(func() {
			if _, _, err := g.reserve(quotaRecord(fmt.Sprint(i), "r", 10), 0, policy.Quota{Units: 7}); err == nil {
				mu.Lock()
				started++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if started != 7 {
		t.Errorf("%d units have room, want 7", started)
	}
}

func TestMemoryIsReadBackFromTheUnit(t *testing.T) {
	c := &policy.Client{Name: "c", UnitPrefix: "c"}
	r, ok := recordOf(c, "u.service", quotaRecord("a", "r", 60).fields(4000))
	if !ok || r.memory != 60 {
		t.Errorf("got %+v, %v", r, ok)
	}
}
