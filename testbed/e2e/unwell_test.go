// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"os"
	"testing"
)

// TestJobsOutwaitABrokerThatIsNotWell: Nomad holds back a job that no node can
// take, and must hear of it when the node can again. It compares classes of
// nodes, which are made of their attributes: health alone wakes up nothing.
func TestJobsOutwaitABrokerThatIsNotWell(t *testing.T) {
	away := policyDir + ".away"
	if err := os.Rename(policyDir, away); err != nil {
		t.Fatal(err)
	}
	mended := false
	mend := func() {
		if mended {
			return
		}
		mended = true
		if err := os.Rename(away, policyDir); err != nil {
			t.Error(err)
		}
		run(t, "systemctl", "restart", "systemd-brokerd")
		driverHealth(t, healthy)
	}
	t.Cleanup(mend)
	run(t, "systemctl", "restart", "systemd-brokerd")
	driverHealth(t, func(d driverInfo) bool { return d.Detected && !d.Healthy })
	j := submit(t, task{Config: command()})
	type evaluation struct{ Status string }
	watch(t, "/job/"+j.id+"/evaluations", func(all []evaluation) bool {
		for _, e := range all {
			if e.Status == "blocked" {
				return true
			}
		}
		return false
	})
	mend()
	j.await("complete")
}
