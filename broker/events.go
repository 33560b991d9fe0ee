// SPDX-License-Identifier: MPL-2.0

package broker

import "nomad-systemd-driver/broker/journal"

// event is one kind of audit record. Its id never changes: scripts, alerts and
// the catalog (deploy/systemd/systemd-brokerd.catalog) find records by it.
type event struct {
	id       string // MESSAGE_ID
	outcome  string // BROKER_OUTCOME
	text     string // how MESSAGE begins
	priority journal.Priority
}

// The kinds there are.
var (
	eventStartAllowed   = &event{"6d3df12d1b594569b91d74834c89a823", "allowed", "start allowed", journal.Info}
	eventStartDenied    = &event{"ac30d869f0e8420babed4f344f8873cb", "denied", "start denied", journal.Warning}
	eventSessionAllowed = &event{"1c2429edbf0f46a8a58053828fbe8d32", "allowed", "session allowed", journal.Info}
	eventSessionDenied  = &event{"c9a67262aaac43dd8255f26a2fa09db9", "denied", "session denied", journal.Warning}
	eventCheckAllowed   = &event{"251627cb8ba24b4babca1f37e4feeb1b", "allowed", "check: would be allowed", journal.Info}
	eventCheckDenied    = &event{"0927b8c8421b4ede8c500be1a05aa21a", "denied", "check: would be denied", journal.Info}
	eventUnitStarted    = &event{"d78e037183d3491c8ee113a11f19eb4e", "started", "unit started", journal.Info}
	eventStartFailed    = &event{"597d7a4b6fab4ee7ac7f5b4e77c64c07", "failed", "unit could not be started", journal.Warning}
	eventUnitEnded      = &event{"dcede524696948e3b2a46ac030bcd897", "ended", "unit ended", journal.Info}
	eventUnitStopped    = &event{"0318ce39efa74b9fab027f748f57b2ff", "stopped", "unit stopped", journal.Info}
	eventStopFailed     = &event{"a46c05a4d20b464fa03d589758ec158b", "failed", "unit could not be stopped", journal.Warning}
	eventUnitRemoved    = &event{"ac485359966841108d5e3b34603f82b7", "removed", "unit removed", journal.Info}
	eventRemoveFailed   = &event{"96a2a738fdfe409d902304ab80299ad8", "failed", "unit could not be removed", journal.Warning}
	eventPeerRefused    = &event{"11b6689780254a978d1e2b1154386419", "refused", "connection refused", journal.Warning}
	eventPolicyLoaded   = &event{"e893fbc3d6b6453daea47106e7b42d8b", "loaded", "policy loaded", journal.Notice}
	eventPolicyRefused  = &event{"dbbc65e9bf55442e9fa7ab4cc137ed6d", "refused", "policy refused", journal.Err}
	eventUnitUnwanted   = &event{"65ab7ea20eea48879cb98f9945ee135f", "unwanted", "running unit that the policy in force would refuse", journal.Warning}
	eventSuppressed     = &event{"794b439a30ba4120ab36907a43039864", "suppressed", "records suppressed", journal.Warning}
)

// decisionEvents are the two outcomes of one kind of question.
type decisionEvents struct{ allowed, denied *event }

var (
	ofStart   = decisionEvents{eventStartAllowed, eventStartDenied}
	ofSession = decisionEvents{eventSessionAllowed, eventSessionDenied}
	ofCheck   = decisionEvents{eventCheckAllowed, eventCheckDenied}
)
