// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// maxRecord bounds one line of journalctl -o json.
const maxRecord = 1 << 20

// recorded is a decision that the broker wrote to the journal.
type recorded struct {
	client, rule, reason string
	session, denied      bool
	spec                 *brokerv1.UnitSpec
}

// answer is what was decided, in words.
func (r *recorded) answer() string {
	if !r.denied {
		return fmt.Sprintf("allowed by rule %q", r.rule)
	}
	return "denied: " + oneLine(strings.TrimPrefix(r.reason, "policy refuses "))
}

// recordState is what a record of the journal is.
type recordState int

const (
	// foreign is a record of others, or of something else than a decision.
	foreign recordState = iota
	// incomplete is a decision without the whole request.
	incomplete
	decision
)

// readRecord reads one record. Only what the broker's own unit wrote counts: everybody
// can write to the journal, but not under another's unit.
func readRecord(line []byte) (r recorded, state recordState, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return recorded{}, foreign, err
	}
	text := func(name string) string {
		var s string
		if json.Unmarshal(fields[name], &s) != nil {
			return "" // absent, too long, or not text
		}
		return s
	}
	if text("_SYSTEMD_UNIT") != "systemd-brokerd.service" || fields["BROKER_REQUEST"] == nil {
		return recorded{}, foreign, nil
	}
	spec, err := readSpec([]byte(text("BROKER_REQUEST")))
	if err != nil || fields["BROKER_REQUEST_INCOMPLETE"] != nil {
		return recorded{}, incomplete, nil //nolint:nilerr // the record is good JSON
	}
	r = recorded{client: text("BROKER_CLIENT"), rule: cmp.Or(text("BROKER_RULE"), text("BROKER_UNIT_RULE")), reason: text("BROKER_REASON"), spec: spec}
	r.denied = text("BROKER_OUTCOME") == "denied"
	r.session = strings.HasPrefix(text("MESSAGE"), "session ")
	return r, decision, nil
}

// journalRecords reads the decisions from the output of "journalctl -o json". skipped
// are decisions without a whole request.
func journalRecords(in io.Reader) (all []recorded, skipped int, err error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxRecord)
	n := 0
	for lines.Scan() {
		n++
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		r, state, err := readRecord(lines.Bytes())
		switch {
		case err != nil:
			return nil, 0, fmt.Errorf("line %d is not a record of journalctl -o json: %w", n, err)
		case state == incomplete:
			skipped++
		case state == decision:
			all = append(all, r)
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, 0, fmt.Errorf("line %d is longer than %d bytes", n+1, maxRecord)
	}
	return all, skipped, lines.Err()
}
