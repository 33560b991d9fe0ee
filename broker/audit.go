// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nomad-systemd-driver/broker/journal"
	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/broker/unit"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// Sink takes audit records, whole or not at all. It must not wait for long.
type Sink interface {
	Write(r journal.Record) error
}

// Fields of audit records, besides those of units (registry.go).
const (
	fieldUnit      = "BROKER_UNIT"
	fieldRequestID = "BROKER_REQUEST_ID"
	fieldReason    = "BROKER_REASON"
	// fieldPolicy is the policy that decided: in records of a unit's life, and in the
	// unit itself, the one that it was started under.
	fieldPolicy  = "BROKER_POLICY_SHA256"
	fieldPeerUID = "BROKER_PEER_UID"
	// fieldObject has "journalctl -u UNIT" show what the broker says of the unit.
	fieldObject = "OBJECT_SYSTEMD_UNIT"
)

// maxText bounds the text of an error in a record.
const maxText = 4 << 10

// errUnrecorded: nothing starts of which the audit log does not know.
var errUnrecorded = errors.New("the decision cannot be written to the audit log, so nothing is started; the operator of this node finds more with systemctl status systemd-journald")

// errTooMany: one client must not push the records of others out of the journal.
var errTooMany = errors.New("this client asks for more starts than the audit log takes; try again")

// audit writes one record for each decision and each event in the life of a
// unit. It never writes arguments or the environment: they may hold secrets.
// What a client sends goes into the values of fields, which the sink keeps apart
// from each other, and in quotes into the message.
type audit struct {
	sink           Sink
	refusals, life *limiter

	lost atomic.Int64 // records that the sink did not take
	mu   sync.Mutex   // guards tell
	tell *time.Timer
}

// tellAfter is how long what was suppressed stays untold at most.
const tellAfter = 10 * time.Second

func newAudit(s Sink, log *slog.Logger) *audit {
	if s == nil {
		s = logSink{log}
	}
	return &audit{sink: s, refusals: newLimiter(refusalRate), life: newLimiter(lifeRate)}
}

// refusedPeer records a connection, or a call on an old one, by who is no client.
func (a *audit) refusedPeer(p policy.Peer) {
	if a.may(a.refusals, peerKey(p)) {
		_ = a.write(eventPeerRefused, "", peerFields(p))
	}
}

// decided records what policy said about a request. A decision that is not
// recorded must not be acted on.
func (a *audit) decided(ctx context.Context, of decisionEvents, p policy.Peer, c *policy.Client, q *question, d *policy.Decision, err error) error {
	e := of.allowed
	if err != nil {
		e = of.denied
	}
	switch {
	case e == eventStartAllowed || e == eventSessionAllowed:
		if !a.may(a.life, c.Name) {
			return errTooMany
		}
	case !a.may(a.refusals, peerKey(p)):
		return nil
	}
	r := q.request
	name := unit.Name(c.UnitPrefix, r.Name, r.ID)
	fields := []journal.Field{{Name: fieldRequestID, Value: requestID(ctx)}, {Name: fieldClient, Value: c.Name}}
	fields = append(fields, peerFields(p)...)
	fields = append(fields, []journal.Field{
		{Name: fieldUnit, Value: name},
		{Name: fieldObject, Value: name},
		{Name: fieldID, Value: r.ID},
		{Name: "BROKER_COMMAND", Value: r.Command},
		{Name: "BROKER_DIRECTIVES", Value: directiveNames(r)},
		{Name: fieldPolicy, Value: q.policy},
	}...)
	if d != nil {
		fields = append(fields, journal.Field{Name: fieldRule, Value: d.Rule()}, journal.Field{Name: "BROKER_PROFILE", Value: d.Profile()})
	} else {
		fields = append(fields, journal.Field{Name: "BROKER_PROFILE", Value: r.Profile})
	}
	if r.Session {
		fields = append(fields, journal.Field{Name: "BROKER_UNIT_RULE", Value: r.Rule})
	}
	if c.Identity != nil && !r.Session {
		fields = append(fields, journal.Field{Name: "BROKER_IDENTITY", Value: identityText(&r.Proof)})
	}
	text, complete := auditable(q.spec, r)
	if !complete {
		fields = append(fields, journal.Field{Name: "BROKER_REQUEST_INCOMPLETE", Value: "1"})
	}
	fields = append(fields, journal.Field{Name: "BROKER_REQUEST", Value: text})
	if a.write(e, reasonOf(err), append(fields, labelFields(r.Labels)...)) != nil {
		return errUnrecorded
	}
	return nil
}

func (a *audit) started(ctx context.Context, r *record, d *policy.Decision, err error) {
	e := eventUnitStarted
	if err != nil {
		e = eventStartFailed
	}
	a.ofUnit(ctx, e, r, err, journal.Field{Name: "BROKER_PROFILE", Value: d.Profile()})
}

func (a *audit) stopped(ctx context.Context, r *record, err error) {
	e := eventUnitStopped
	if err != nil {
		e = eventStopFailed
	}
	a.ofUnit(ctx, e, r, err)
}

func (a *audit) removed(ctx context.Context, r *record, err error) {
	e := eventUnitRemoved
	if err != nil {
		e = eventRemoveFailed
	}
	a.ofUnit(ctx, e, r, err)
}

func (a *audit) ended(ctx context.Context, r *record, st *systemd.Status) {
	e := exitOf(st)
	a.ofUnit(ctx, eventUnitEnded, r, nil,
		journal.Field{Name: "BROKER_RESULT", Value: st.Result},
		journal.Field{Name: "BROKER_EXIT_CODE", Value: strconv.Itoa(int(e.GetCode()))},
		journal.Field{Name: "BROKER_EXIT_SIGNAL", Value: strconv.Itoa(int(e.GetSignal()))})
}

// unwanted records a unit that the policy in force, whose hash it has, would refuse to
// start.
func (a *audit) unwanted(ctx context.Context, r *record, sha256 string, err error) {
	a.ofUnit(ctx, eventUnitUnwanted, r, err, journal.Field{Name: fieldPolicy, Value: sha256})
}

func (a *audit) ofUnit(ctx context.Context, e *event, r *record, err error, more ...journal.Field) {
	if !a.may(a.life, r.client) {
		return
	}
	fields := []journal.Field{
		{Name: fieldClient, Value: r.client},
		{Name: fieldUnit, Value: r.unit},
		{Name: fieldObject, Value: r.unit},
		{Name: fieldID, Value: r.id},
		{Name: fieldRule, Value: r.rule},
		{Name: fieldUser, Value: r.user},
	}
	if id := requestID(ctx); id != "" {
		fields = append([]journal.Field{{Name: fieldRequestID, Value: id}}, fields...)
	}
	if r.session != "" {
		fields = append(fields, journal.Field{Name: fieldSession, Value: r.session})
	}
	if r.policy != "" && e != eventUnitUnwanted {
		fields = append(fields, journal.Field{Name: fieldPolicy, Value: r.policy})
	}
	fields = append(fields, more...)
	_ = a.write(e, reasonOf(err), append(fields, labelFields(r.labels)...))
}

func (a *audit) policyLoaded(sha256 string) {
	_ = a.write(eventPolicyLoaded, "", []journal.Field{{Name: fieldPolicy, Value: sha256}})
}

func (a *audit) policyRefused(inForce string, err error) {
	_ = a.write(eventPolicyRefused, clip(err.Error()), []journal.Field{{Name: fieldPolicy, Value: inForce}})
}

// write is an error if the sink did not take the record, which is counted and
// told when it does again.
func (a *audit) write(e *event, reason string, fields []journal.Field) error {
	all := []journal.Field{{Name: "MESSAGE_ID", Value: e.id}, {Name: "BROKER_OUTCOME", Value: e.outcome}}
	if reason != "" {
		fields = append(fields, journal.Field{Name: fieldReason, Value: reason})
	}
	err := a.sink.Write(journal.Record{Priority: e.priority, Message: messageOf(e, reason, fields), Fields: append(all, fields...)})
	if err != nil {
		a.lost.Add(1)
		return err
	}
	if n := a.lost.Swap(0); n > 0 {
		a.suppressed("could not be written", int(n))
	}
	return nil
}

// may asks the limiter for one record, and tells how many it suppressed before.
func (a *audit) may(l *limiter, key string) bool {
	ok, n := l.take(key)
	if n > 0 {
		a.suppressed("of "+key, n)
	}
	if !ok {
		a.tellLater()
	}
	return ok
}

// mayComplain reports whether a failed call may be logged.
func (a *audit) mayComplain(ctx context.Context) bool {
	p, err := peerOf(ctx)
	return err != nil || a.may(a.refusals, peerKey(p))
}

func (a *audit) suppressed(what string, n int) {
	_ = a.write(eventSuppressed, strconv.Itoa(n)+" records "+what, []journal.Field{{Name: "BROKER_SUPPRESSED", Value: strconv.Itoa(n)}})
}

func (a *audit) tellLater() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tell == nil {
		a.tell = time.AfterFunc(tellAfter, a.flush)
	}
}

// flush tells what was suppressed and not yet told.
func (a *audit) flush() {
	a.mu.Lock()
	if a.tell != nil {
		a.tell.Stop()
		a.tell = nil
	}
	a.mu.Unlock()
	for _, l := range []*limiter{a.refusals, a.life} {
		for key, n := range l.drain() {
			a.suppressed("of "+key, n)
		}
	}
}

// question is what was decided on: what the client sent, what the broker read in
// it, and the policy that was in force.
type question struct {
	spec    *brokerv1.UnitSpec
	request *policy.Request
	policy  string
}

func peerKey(p policy.Peer) string { return "uid " + strconv.FormatUint(uint64(p.UID), 10) }

func peerFields(p policy.Peer) []journal.Field {
	return []journal.Field{
		{Name: fieldPeerUID, Value: strconv.FormatUint(uint64(p.UID), 10)},
		{Name: "BROKER_PEER_PID", Value: strconv.Itoa(int(p.PID))},
	}
}

// identityText is what was found out about the labels.
func identityText(p *policy.Proof) string {
	switch {
	case p.Proven():
		return "proven"
	case p.Problem != "":
		return "not proven: " + clip(p.Problem)
	}
	return "no token"
}

func labelFields(labels map[string]string) []journal.Field {
	var all []journal.Field
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, journal.Field{Name: k, Value: labels[k]})
	}
	return all
}

func directiveNames(r *policy.Request) string {
	names := make([]string, 0, len(r.Directives))
	for _, d := range r.Directives {
		names = append(names, d.Name)
	}
	return strings.Join(names, " ")
}

// reasonOf is the text of an error without the values of directives that are
// meant for secrets.
func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	denial, ok := errors.AsType[*policy.Denial](err)
	if !ok || denial.Subject != "directive" {
		return clip(err.Error())
	}
	shown := *denial
	if name, _, _ := strings.Cut(shown.Value, "="); refusedDirective(name) {
		shown.Value = name
	}
	return clip(shown.Error())
}

func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + " …"
}

// inMessage are the fields that MESSAGE repeats, in this order.
var inMessage = []string{fieldRequestID, fieldUnit, fieldRule, "BROKER_RESULT", "BROKER_EXIT_CODE", "BROKER_EXIT_SIGNAL", fieldPeerUID}

// messageOf is the record on one line, for people to read.
func messageOf(e *event, reason string, fields []journal.Field) string {
	var text strings.Builder
	text.WriteString(e.text)
	for _, name := range inMessage {
		i := slices.IndexFunc(fields, func(f journal.Field) bool { return f.Name == name })
		if i >= 0 {
			text.WriteString(" " + strings.ToLower(strings.TrimPrefix(name, "BROKER_")) + "=" + onOneLine(fields[i].Value))
		}
	}
	if reason != "" {
		text.WriteString(": " + onOneLine(reason))
	}
	return text.String()
}

func onOneLine(s string) string {
	if plain(s) {
		return s
	}
	return strconv.Quote(s)
}

// logSink writes audit records to a log.
type logSink struct{ log *slog.Logger }

// Write implements Sink.
func (s logSink) Write(r journal.Record) error {
	level := slog.LevelInfo
	switch {
	case r.Priority <= journal.Err:
		level = slog.LevelError
	case r.Priority <= journal.Warning:
		level = slog.LevelWarn
	}
	attrs := make([]slog.Attr, 0, len(r.Fields))
	for _, f := range r.Fields {
		attrs = append(attrs, slog.String(f.Name, f.Value))
	}
	s.log.LogAttrs(context.Background(), level, r.Message, attrs...)
	return nil
}
