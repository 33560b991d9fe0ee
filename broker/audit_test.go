// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"nomad-systemd-driver/broker/journal"
	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd/fakepid1"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// auditLog is a journal in memory, which can be down.
type auditLog struct {
	mu      sync.Mutex
	records []map[string]string
	down    bool
	more    chan struct{} // closed by the next record, if somebody waits
}

func (l *auditLog) Write(r journal.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return errors.New("the journal is down")
	}
	if _, err := journal.Encode(r); err != nil {
		return err
	}
	fields := map[string]string{"MESSAGE": r.Message}
	for _, f := range r.Fields {
		if _, twice := fields[f.Name]; twice {
			return errors.New(f.Name + " is there twice")
		}
		fields[f.Name] = f.Value
	}
	l.records = append(l.records, fields)
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return nil
}

func (l *auditLog) setDown(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
}

// of are the records of a kind so far.
func (l *auditLog) of(e *event) []map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []map[string]string
	for _, r := range l.records {
		if r["MESSAGE_ID"] == e.id {
			found = append(found, r)
		}
	}
	return found
}

// next is closed when there is a record of a kind or, at the latest, with the next record.
func (l *auditLog) next(e *event) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.ContainsFunc(l.records, func(r map[string]string) bool { return r["MESSAGE_ID"] == e.id }) {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return l.more
}

// one is the only record of a kind, which may be on its way: clients learn of some
// events before they are on record.
func (l *auditLog) one(t *testing.T, e *event) map[string]string {
	t.Helper()
	found := l.of(e)
	for timeout := time.After(10 * time.Second); len(found) == 0; found = l.of(e) {
		select {
		case <-l.next(e):
		case <-timeout:
			t.Fatalf("there is no record %q", e.text)
		}
	}
	if len(found) != 1 {
		t.Fatalf("there are %d records %q, want one: %v", len(found), e.text, found)
	}
	return found[0]
}

func (l *auditLog) holds(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.records, func(r map[string]string) bool {
		return slices.ContainsFunc(slices.Collect(maps.Values(r)), func(v string) bool { return strings.Contains(v, text) })
	})
}

// TestStartWithoutRoomIsOnRecord: after "start allowed" comes what became of it.
func TestStartWithoutRoomIsOnRecord(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"a/1", "a/2", "a/3"} { // max_units of the client
		w.start(id)
	}
	_, err := w.client.StartUnit(w.ctx(), w.logged("a/4"))
	wantCode(t, err, codes.ResourceExhausted, "")
	failed := w.audit.one(t, eventStartFailed)
	if failed["BROKER_UNIT_ID"] != "a/4" || !strings.Contains(failed["BROKER_REASON"], "max_units") {
		t.Errorf("got %v", failed)
	}
	allowed := w.audit.of(eventStartAllowed)
	if id := allowed[len(allowed)-1]["BROKER_REQUEST_ID"]; id == "" || id != failed["BROKER_REQUEST_ID"] {
		t.Errorf("request %q was allowed and %q failed", id, failed["BROKER_REQUEST_ID"])
	}
}

func TestLifeOfAUnitIsOnRecord(t *testing.T) {
	w := newWorld(t)
	s := w.spec("a/1")
	s.Profile, s.Labels = "default", map[string]string{"NOMAD_JOB_ID": "web"}
	s.Args, s.Env = []string{"canary-arg"}, map[string]string{"SECRET": "canary-env", "LD_PRELOAD": "canary-value"}
	s.Directives = []*brokerv1.Directive{{Name: "PrivateNetwork", Values: []string{"yes"}}}
	s.Logging = &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_FDS, FdToken: w.handOverNull(logFDs)}
	resp, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: s})
	if err != nil {
		t.Fatal(err)
	}
	h := resp.GetUnit().GetHandle()
	if _, err := w.client.StopUnit(w.ctx(), &brokerv1.StopUnitRequest{Handle: h}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.RemoveUnit(w.ctx(), &brokerv1.RemoveUnitRequest{Handle: h}); err != nil {
		t.Fatal(err)
	}
	allowed := w.audit.one(t, eventStartAllowed)
	for field, want := range map[string]string{
		"BROKER_OUTCOME": "allowed", "BROKER_CLIENT": "nomad", "BROKER_UNIT": h.GetUnit(), "OBJECT_SYSTEMD_UNIT": h.GetUnit(),
		"BROKER_UNIT_ID": "a/1", "BROKER_RULE": "local", "BROKER_PROFILE": "default", "BROKER_DIRECTIVES": "PrivateNetwork",
		"BROKER_POLICY_SHA256": w.policy().SHA256(), "NOMAD_JOB_ID": "web", "BROKER_COMMAND": s.GetCommand(),
	} {
		if allowed[field] != want {
			t.Errorf("start allowed: %s is %q, want %q", field, allowed[field], want)
		}
	}
	var asked brokerv1.UnitSpec
	if err := protojson.Unmarshal([]byte(allowed["BROKER_REQUEST"]), &asked); err != nil {
		t.Fatal(err)
	}
	want, _ := proto.Clone(s).(*brokerv1.UnitSpec)
	want.Args, want.Env, want.Logging.FdToken = nil, map[string]string{"LD_PRELOAD": ""}, "" // the name is the policy's business
	if !proto.Equal(&asked, want) {
		t.Errorf("BROKER_REQUEST is %s", allowed["BROKER_REQUEST"])
	}
	for e, outcome := range map[*event]string{eventUnitStarted: "started", eventUnitEnded: "ended", eventUnitStopped: "stopped", eventUnitRemoved: "removed"} {
		r := w.audit.one(t, e)
		if r["BROKER_OUTCOME"] != outcome || r["BROKER_UNIT"] != h.GetUnit() || r["NOMAD_JOB_ID"] != "web" || r["BROKER_RULE"] != "local" ||
			r["BROKER_POLICY_SHA256"] != w.policy().SHA256() {
			t.Errorf("%q has the fields %v", e.text, r)
		}
	}
	if r := w.audit.one(t, eventUnitStarted); r["BROKER_REQUEST_ID"] == "" || r["BROKER_REQUEST_ID"] != allowed["BROKER_REQUEST_ID"] {
		t.Errorf("the start has the request id %q, its decision %q", r["BROKER_REQUEST_ID"], allowed["BROKER_REQUEST_ID"])
	}
	if r := w.audit.one(t, eventPolicyLoaded); r["BROKER_POLICY_SHA256"] != w.policy().SHA256() {
		t.Errorf("the policy on record is %v", r)
	}
	for _, canary := range []string{"canary-arg", "canary-env", "canary-value", s.GetLogging().GetFdToken()} {
		if w.audit.holds(canary) {
			t.Errorf("%s is on record", canary)
		}
	}
}

func TestDenialIsOnRecord(t *testing.T) {
	w := newWorld(t)
	s := w.spec("a/1")
	s.User = "root"
	_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: s})
	wantCode(t, err, codes.PermissionDenied, `user "root"`)
	r := w.audit.one(t, eventStartDenied)
	if r["BROKER_OUTCOME"] != "denied" || !strings.Contains(r["BROKER_REASON"], `user "root"`) || r["BROKER_RULE"] != "" ||
		!strings.HasPrefix(r["MESSAGE"], "start denied request_id="+r["BROKER_REQUEST_ID"]+" ") {
		t.Errorf("the record is %v", r)
	}
	if _, err := w.client.CheckStart(w.ctx(), &brokerv1.CheckStartRequest{Spec: s}); err != nil {
		t.Fatal(err)
	}
	w.audit.one(t, eventCheckDenied)
	w.audit.one(t, eventStartDenied)
}

func TestSessionsAreOnRecord(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	other := w.session(u)
	other.Spec.User = "alice"
	stream, err := w.client.ExecInUnit(w.ctx(), other)
	if err == nil {
		_, err = stream.Recv()
	}
	wantCode(t, err, codes.PermissionDenied, "session user")
	if r := w.audit.one(t, eventSessionDenied); !strings.Contains(r["BROKER_REASON"], "session user") {
		t.Errorf("the record is %v", r)
	}
	if n := len(w.audit.of(eventSessionAllowed)); n != 0 {
		t.Errorf("%d sessions are on record as allowed", n)
	}
	w.begin(w.ctx(), w.session(u))
	w.audit.one(t, eventSessionAllowed)
}

// TestDirectivesMeantForSecretsAreNotOnRecord though they are refused.
func TestDirectivesMeantForSecretsAreNotOnRecord(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"Environment", "SetCredential"} {
		s := w.spec("a/1")
		s.Directives = []*brokerv1.Directive{{Name: name, Values: []string{"A=canary"}}}
		_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: s})
		wantCode(t, err, codes.PermissionDenied, name)
	}
	if n := len(w.audit.of(eventStartDenied)); n != 2 || w.audit.holds("canary") {
		t.Errorf("there are %d records, with the value: %v", n, w.audit.of(eventStartDenied))
	}
}

// TestNothingStartsOffTheRecord: what runs must be found in the audit log. What
// runs already can be stopped.
func TestNothingStartsOffTheRecord(t *testing.T) {
	w := newWorld(t)
	u := w.start("a/1")
	w.audit.setDown(true)
	wantCode(t, w.tryStart("a/2"), codes.Unavailable, "audit log")
	stream, err := w.client.ExecInUnit(w.ctx(), w.session(u))
	if err == nil {
		_, err = stream.Recv()
	}
	wantCode(t, err, codes.Unavailable, "audit log")
	if n := len(w.pid1.Calls("StartTransientUnit")); n != 1 {
		t.Errorf("PID 1 was asked to start %d units", n)
	}
	if _, err := w.client.StopUnit(w.ctx(), &brokerv1.StopUnitRequest{Handle: u.GetHandle()}); err != nil {
		t.Error(err)
	}
	w.audit.setDown(false)
	if err := w.tryStart("a/2"); err != nil {
		t.Error(err)
	}
	// The two decisions, the end and the stop.
	if r := w.audit.of(eventSuppressed); len(r) != 1 || r[0]["BROKER_SUPPRESSED"] != "4" {
		t.Errorf("of the records that were lost is told: %v", r)
	}
}

// TestFloodOfDenialsIsCounted and does not push other records out.
func TestFloodOfDenialsIsCounted(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	w.server.audit.refusals.now = func() time.Time { return now }
	s := w.spec("a/1")
	s.User = "root"
	const more = 7
	for range int(refusalRate.burst) + more {
		_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: s})
		wantCode(t, err, codes.PermissionDenied, "")
	}
	if n := len(w.audit.of(eventStartDenied)); n != int(refusalRate.burst) {
		t.Errorf("%d denials are on record, want %v", n, refusalRate.burst)
	}
	w.start("a/2") // is not held up
	now = now.Add(time.Second)
	_, _ = w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: s})
	if r := w.audit.one(t, eventSuppressed); r["BROKER_SUPPRESSED"] != "7" || !strings.Contains(r["MESSAGE"], peerKey(policy.Peer{UID: clientUID()})) {
		t.Errorf("of what was suppressed is told: %v", r)
	}
	for range int(refusalRate.burst) {
		_, _ = w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: s})
	}
	w.stop() // tells the rest
	if r := w.audit.of(eventSuppressed); len(r) != 2 || r[1]["BROKER_SUPPRESSED"] != "46" {
		t.Errorf("of what was suppressed is told: %v", r)
	}
}

func TestTooManyStartsAreRefusedForNow(t *testing.T) {
	w := newWorld(t)
	w.server.audit.life = newLimiter(rate{0, 0})
	wantCode(t, w.tryStart("a/1"), codes.Unavailable, "audit log")
	if n := len(w.pid1.Calls("StartTransientUnit")); n != 0 {
		t.Errorf("PID 1 was asked to start %d units", n)
	}
}

func TestStartThatFailsIsOnRecord(t *testing.T) {
	w := newWorld(t)
	w.pid1.OnStart(func(fakepid1.Start) fakepid1.Outcome { return fakepid1.Outcome{JobResult: "failed", ExitStatus: 203} })
	wantCode(t, w.tryStart("a/1"), codes.FailedPrecondition, "")
	if r := w.audit.one(t, eventStartFailed); r["BROKER_OUTCOME"] != "failed" || !strings.Contains(r["BROKER_REASON"], "cannot execute") {
		t.Errorf("the record is %v", r)
	}
}

func TestMessagesHaveOneLine(t *testing.T) {
	got := messageOf(eventStartDenied, "a\nb", []journal.Field{{Name: fieldUnit, Value: "x\x1b[31m"}, {Name: fieldRequestID, Value: "1"}})
	if want := `start denied request_id=1 unit="x\x1b[31m": "a\nb"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestEveryFieldOfARequestIsDisclosedOrNot: who adds one says where it may be
// written to.
func TestEveryFieldOfARequestIsDisclosedOrNot(t *testing.T) {
	seen := map[string]bool{}
	var walk func(m protoreflect.MessageDescriptor, at string)
	walk = func(m protoreflect.MessageDescriptor, at string) {
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			path := at + string(f.Name())
			_, named := disclosures[path]
			switch {
			case named:
				seen[path] = true
			case f.Message() != nil && !f.IsMap():
				walk(f.Message(), path+".")
			default:
				t.Errorf("disclosures lacks %s", path)
			}
		}
	}
	walk((&brokerv1.UnitSpec{}).ProtoReflect().Descriptor(), "")
	for path := range disclosures {
		if !seen[path] {
			t.Errorf("disclosures names %s, which is no field", path)
		}
	}
}

func TestLargeRequestIsShortened(t *testing.T) {
	s := goodSpec()
	s.Directives = []*brokerv1.Directive{{Name: "SystemCallFilter", Values: []string{strings.Repeat("x", maxRequestField)}}}
	text, complete := auditable(s, &policy.Request{})
	if complete || len(text) > maxRequestField || !strings.Contains(text, "SystemCallFilter") || !strings.Contains(text, s.GetCommand()) {
		t.Errorf("got %d bytes, complete: %v", len(text), complete)
	}
}

// TestCatalogHasEveryEvent, and nothing else.
func TestCatalogHasEveryEvent(t *testing.T) {
	text, err := os.ReadFile("../deploy/systemd/systemd-brokerd.catalog")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("events.go")
	if err != nil {
		t.Fatal(err)
	}
	ids := func(pattern string, text []byte) (all []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
			all = append(all, string(m[1]))
		}
		return all
	}
	want, got := ids(`"([0-9a-f]{32})"`, source), ids(`(?m)^-- ([0-9a-f]{32})$`, text)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) || len(slices.Compact(want)) != 18 {
		t.Errorf("the catalog has %d entries %v, want %d %v", len(got), got, len(want), want)
	}
	fields := map[string]bool{}
	for _, name := range ids(`"(BROKER_[A-Z0-9_]+)"`, slices.Concat(source, read(t, "audit.go"), read(t, "registry.go"))) {
		fields[name] = true
	}
	for _, name := range ids(`@([A-Z0-9_]+)@`, text) {
		if !fields[name] && name != "MESSAGE" {
			t.Errorf("the catalog shows %s, which no record has", name)
		}
		// journalctl knows letters and _ only (src/basic/replace-var.c of systemd).
		if strings.ContainsAny(name, "0123456789") {
			t.Errorf("the catalog shows %s, a name that journalctl does not fill in", name)
		}
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
