// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"nomad-systemd-driver/broker"
)

func TestDifferencesAreShown(t *testing.T) {
	all := []broker.Difference{
		{Unit: "a.service", Client: "nomad", Labels: map[string]string{"NOMAD_JOB_ID": "web"}, Refused: true, Reason: "policy refuses it"},
		{Unit: "b.service", Client: "nomad", Reason: "not known"},
	}
	tests := []struct {
		name    string
		all     []broker.Difference
		enforce bool
		want    string
	}{
		{"none", nil, false, "No running unit is known that the policy would refuse.\n"},
		{"two", all, false, "a.service (nomad)\n  refused: policy refuses it\nb.service (nomad)\n  cannot tell: not known\n" +
			"The policy would refuse 1 of the running units; end them with: systemd-brokerd reconcile --enforce\n"},
		{"enforced", all[:1], true, "a.service (nomad)\n  refused: policy refuses it\nEnding 1 units.\n"},
		{"nothing to enforce", all[1:], true, "b.service (nomad)\n  cannot tell: not known\nNo running unit is known that the policy would refuse.\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := showDifferences(&out, tt.all, false, tt.enforce); err != nil || out.String() != tt.want {
				t.Errorf("got %q, %v; want %q", out.String(), err, tt.want)
			}
		})
	}
	var out bytes.Buffer
	var got []difference
	if err := showDifferences(&out, all, true, false); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || len(got) != 2 || !got[0].Refused || got[0].Labels["NOMAD_JOB_ID"] != "web" {
		t.Errorf("got %s, %v", out.String(), err)
	}
	out.Reset()
	if err := showDifferences(&out, nil, true, false); err != nil || strings.TrimSpace(out.String()) != "[]" {
		t.Errorf("an empty list is %q, %v", out.String(), err)
	}
}
