// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"cmp"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/broker/unit"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// The journal fields by which the broker knows its units again: systemd is the
// database. They are written when the unit is started and cannot be changed.
const (
	fieldClient = "BROKER_CLIENT"
	fieldID     = "BROKER_UNIT_ID"
	fieldSHA256 = "BROKER_REQUEST_SHA256"
	fieldRule   = "BROKER_RULE"
	fieldUID    = "BROKER_CLIENT_UID"
	// fieldUser is the user of the host that the unit runs as, or ephemeralUser.
	fieldUser = "BROKER_USER"
	// fieldView identifies what a unit's sessions have in common with it, see
	// viewOf. Units of brokers before it lack the field.
	fieldView = "BROKER_VIEW_SHA256"
	// fieldCPUs are the CPUs that are the unit's own, if there are any.
	fieldCPUs = "BROKER_CPUS"
	// fieldMapped is the ephemeral uid to which the unit's directories are mapped, where
	// they can be; units of brokers that mapped none lack the field.
	fieldMapped = "BROKER_MAPPED_UID"
	// fieldOwnership is whether they were, see ownership. Units of brokers before it
	// lack the field.
	fieldOwnership = "BROKER_DIRECTORIES"
	// fieldDynamic is the name of the ephemeral user, see unit.DynamicUserName.
	fieldDynamic = "BROKER_DYNAMIC_USER"
	// fieldSession is the unit beside which a session runs.
	fieldSession = "BROKER_SESSION_OF"
	// fieldManager is the uid in whose service manager the unit runs; units of PID 1
	// alone lack the field.
	fieldManager = "BROKER_USER_MANAGER"
	// fieldMemory is the unit's memory limit in bytes, for quotas; absent if it has none.
	fieldMemory = "BROKER_MEMORY_MAX"
)

// ephemeralUser stands for the user of a unit with an ephemeral uid; no user
// can be called so.
const ephemeralUser = "-"

// record is what the broker knows of one unit.
type record struct {
	// These never change.
	client, id, unit string
	sha256           string
	rule             string
	user             string // see fieldUser
	view             string // see fieldView
	session          string // see fieldSession; empty for what clients know as units
	labels           map[string]string
	mapped           uint32    // see fieldMapped; set before the start, as is dynamic
	ownership        ownership // see fieldOwnership; of a session before its start
	dynamic          string    // see fieldDynamic
	cpus             []uint32  // see fieldCPUs
	memory           uint64    // see fieldMemory
	policy           string    // see fieldPolicy; empty for units of brokers before it
	manager          uint32    // see fieldManager

	// started is closed when the start has ended, well or not.
	started chan struct{}
	// ended is closed when the unit has exited or is lost.
	ended chan struct{}

	// The registry's mutex guards what follows. live is set when the start has
	// succeeded; until then clients do not see the unit.
	live       bool
	invocation string
	startErr   error
	state      brokerv1.UnitState
	status     systemd.Status
	stopping   *stopping
	share      cpuShare
	staged     bool // by an earlier broker
	// replaced: PID 1 has a unit of this name that somebody else started since. It is
	// no unit of the client's.
	replaced bool

	// ending is held by who ends what is left in the user's manager.
	ending sync.Mutex
}

// begun prepares a record for the start of its unit.
func (r *record) begun() *record {
	r.started, r.ended = make(chan struct{}), make(chan struct{})
	r.state = brokerv1.UnitState_UNIT_STATE_STARTING
	return r
}

// fields are the record's own journal fields, from which recordOf makes it again.
func (r *record) fields(uid uint32) map[string]string {
	f := map[string]string{
		fieldClient: r.client, fieldUID: strconv.FormatUint(uint64(uid), 10),
		fieldID: r.id, fieldSHA256: r.sha256, fieldRule: r.rule, fieldUser: r.user,
	}
	if r.view != "" {
		f[fieldView] = r.view
	}
	if r.policy != "" {
		f[fieldPolicy] = r.policy
	}
	if len(r.cpus) > 0 {
		f[fieldCPUs] = formatCPUList(r.cpus)
	}
	if r.memory > 0 {
		f[fieldMemory] = strconv.FormatUint(r.memory, 10)
	}
	if r.manager != 0 {
		f[fieldManager] = strconv.FormatUint(uint64(r.manager), 10)
	}
	if r.mapped != 0 {
		f[fieldMapped] = strconv.FormatUint(uint64(r.mapped), 10)
	}
	if r.dynamic != "" {
		f[fieldDynamic] = r.dynamic
	}
	if r.ownership != "" {
		f[fieldOwnership] = string(r.ownership)
	}
	if r.session != "" {
		f[fieldSession] = r.session
	}
	return f
}

// recordOf is the record of a unit of the client that an earlier broker
// started, by the unit's journal fields; false if they are not a broker's.
func recordOf(c *policy.Client, name string, f map[string]string) (*record, bool) {
	if f[fieldClient] != c.Name || f[fieldID] == "" {
		return nil, false
	}
	labels := maps.Clone(f)
	maps.DeleteFunc(labels, func(k, _ string) bool { return !strings.HasPrefix(k, labelPrefix(c)) })
	cpus, err := parseCPUList(f[fieldCPUs])
	if err != nil {
		return nil, false
	}
	memory, _ := strconv.ParseUint(f[fieldMemory], 10, 64) // absent in units of brokers before it
	r := &record{
		memory: memory, client: c.Name, id: f[fieldID], unit: name, sha256: f[fieldSHA256], rule: f[fieldRule],
		user: f[fieldUser], view: f[fieldView], session: f[fieldSession], labels: labels, cpus: cpus,
		policy: f[fieldPolicy], ownership: ownership(f[fieldOwnership]),
	}
	if uid, err := strconv.ParseUint(f[fieldMapped], 10, 32); err == nil {
		r.mapped = uint32(uid)
	}
	if uid, err := strconv.ParseUint(f[fieldManager], 10, 32); err == nil {
		r.manager = uint32(uid)
	}
	if r.user == ephemeralUser {
		// Units of brokers before it lack the field.
		r.dynamic = cmp.Or(f[fieldDynamic], unit.DynamicUserName(c.UnitPrefix, r.id, 0))
	}
	return r.begun(), true
}

type recordKey struct{ client, id string }

// registry holds the units of all clients. It is a cache of what PID 1 knows.
type registry struct {
	mu       sync.Mutex
	byKey    map[recordKey]*record
	byUnit   map[string]*record
	watchers map[*watcher]struct{}
	starts   map[ruleKey][]time.Time // see quota.go
	pool     *cpuPool
	avoided  map[uint32]bool // see avoid
}

func newRegistry(pool *cpuPool) *registry {
	return &registry{
		pool:     pool,
		starts:   make(map[ruleKey][]time.Time),
		avoided:  make(map[uint32]bool),
		byKey:    make(map[recordKey]*record),
		byUnit:   make(map[string]*record),
		watchers: make(map[*watcher]struct{}),
	}
}

// reserve adds r, unless the client has a unit with this id; then it returns
// that one and false. limit bounds the client's units, quota those of
// r's rule.
func (g *registry) reserve(r *record, limit int, quota policy.Quota) (*record, bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if old, ok := g.byKey[recordKey{r.client, r.id}]; ok {
		return old, false, nil
	}
	if _, ok := g.byUnit[r.unit]; ok {
		return nil, false, errOtherContent
	}
	n := 0
	for k := range g.byKey {
		if k.client == r.client {
			n++
		}
	}
	if limit > 0 && n >= limit {
		return nil, false, &quotaError{"the client has reached the policy's max_units; stop tasks, or ask the operator to raise it"}
	}
	if err := g.takeQuotaLocked(r, quota, time.Now()); err != nil {
		return nil, false, err
	}
	g.insertLocked(r)
	return r, true, nil
}

func (g *registry) insertLocked(r *record) {
	g.byKey[recordKey{r.client, r.id}] = r
	g.byUnit[r.unit] = r
}

// remove forgets r, and reports whether an earlier broker staged mounts for it.
func (g *registry) remove(r *record) (staged bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.removeLocked(r)
	return r.staged
}

// staged notes that there are mounts for a unit that its removal has to take back: an
// earlier broker's, or what could not be taken back at the end of its start.
func (g *registry) staged(unit string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r, ok := g.byUnit[unit]; ok {
		r.staged = true
	}
}

func (g *registry) removeLocked(r *record) {
	if g.byUnit[r.unit] == r {
		delete(g.byUnit, r.unit)
		delete(g.byKey, recordKey{r.client, r.id})
	}
}

// removing reports whether the start of r failed and what it left is being
// removed.
func (g *registry) removing(r *record) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return r.startErr != nil && g.byUnit[r.unit] == r
}

// find returns the client's unit that handle names. Units of others, and older
// or newer runs, are as absent as those that never were.
func (g *registry) find(client string, h *brokerv1.Handle) (*record, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r, ok := g.byUnit[h.GetUnit()]
	if !ok || r.client != client || !r.live || r.session != "" || r.invocation != h.GetInvocationId() {
		return nil, errNotFound
	}
	return r, nil
}

// get returns the record of a unit.
func (g *registry) get(unit string) (*record, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r, ok := g.byUnit[unit]
	return r, ok
}

// isReplaced reports whether the unit in PID 1 is another than that of r.
func (g *registry) isReplaced(r *record) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return r.replaced
}

// known reports whether unit is one of the broker's.
func (g *registry) known(unit string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.byUnit[unit]
	return ok
}

// starting reports whether unit is on its way to execute its program.
func (g *registry) starting(unit string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	r, ok := g.byUnit[unit]
	return ok && r.state == brokerv1.UnitState_UNIT_STATE_STARTING
}

// uid is the one that r runs as, or [systemd.NoUID].
func (g *registry) uid(r *record) uint32 {
	if r == nil {
		return systemd.NoUID
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return r.status.UID
}

// names lists all units.
func (g *registry) names() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]string, 0, len(g.byUnit))
	for name := range g.byUnit {
		all = append(all, name)
	}
	return all
}

// update records what PID 1 says of a unit, or that it is gone (nil), and
// reports whether clients have just learned that the unit ended.
func (g *registry) update(unit string, st *systemd.Status) (ended bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r, ok := g.byUnit[unit]
	return ok && r.applyLocked(st) && r.live && g.publishLocked(r)
}

// finish ends the start of r and reports whether the unit has ended by now. A
// unit that did not start is forgotten, so that its id can be tried again, unless
// PID 1 may have it: its id and its place are taken until it is removed.
func (g *registry) finish(r *record, st *systemd.Status, err error) (ended bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer close(r.started)
	if err != nil {
		r.startErr = err
		if !leavesUnit(err) {
			g.removeLocked(r)
		}
		return false
	}
	r.applyLocked(st)
	r.live = true
	g.pool.stir()
	return g.publishLocked(r)
}

// applyLocked takes over what PID 1 says and reports whether that is news. The
// end of a unit is final: an older answer that arrives late changes nothing.
func (r *record) applyLocked(st *systemd.Status) bool {
	if st != nil && r.invocation != "" && st.InvocationID != "" && st.InvocationID != r.invocation {
		r.replaced = true
	}
	switch {
	case over(r.state):
		return false
	case st == nil && !r.live:
		return false // not started yet
	case st == nil, r.invocation != "" && st.InvocationID != r.invocation:
		r.state = brokerv1.UnitState_UNIT_STATE_LOST
	default:
		uid := cmp.Or(r.status.UID, r.mapped)
		r.invocation, r.status, r.state = st.InvocationID, *st, stateOf(st)
		if st.UID == systemd.NoUID && uid != 0 {
			r.status.UID = uid // of a unit that has failed PID 1 does not know it any more
		}
	}
	return true
}

// publishLocked tells r's watchers, and those who wait for its end.
func (g *registry) publishLocked(r *record) (ended bool) {
	for w := range g.watchers {
		if w.sees(r) {
			w.mark(r)
		}
	}
	if over(r.state) {
		close(r.ended)
		g.pool.stir()
	}
	return over(r.state)
}

func over(s brokerv1.UnitState) bool {
	return s == brokerv1.UnitState_UNIT_STATE_EXITED || s == brokerv1.UnitState_UNIT_STATE_LOST
}

// stateOf reads a unit's state. With RemainAfterExit= a program that ended well
// leaves the unit active(exited); one that did not leaves it failed.
func stateOf(st *systemd.Status) brokerv1.UnitState {
	switch st.ActiveState {
	case systemd.Activating:
		return brokerv1.UnitState_UNIT_STATE_STARTING
	case systemd.Failed, systemd.Inactive:
		return brokerv1.UnitState_UNIT_STATE_EXITED
	case systemd.Active:
		if st.SubState == systemd.Exited {
			return brokerv1.UnitState_UNIT_STATE_EXITED
		}
	}
	return brokerv1.UnitState_UNIT_STATE_RUNNING
}

// snapshot is the unit as clients see it.
func (g *registry) snapshot(r *record) *brokerv1.Unit {
	g.mu.Lock()
	defer g.mu.Unlock()
	return r.messageLocked()
}

func (r *record) messageLocked() *brokerv1.Unit {
	u := &brokerv1.Unit{
		Id:           r.id,
		Handle:       &brokerv1.Handle{Unit: r.unit, InvocationId: r.invocation},
		State:        r.state,
		ControlGroup: r.controlGroupLocked(),
		Uid:          r.status.UID,
		StartedAt:    timestamp(r.status.StartedAt),
		Labels:       maps.Clone(r.labels),
	}
	switch r.state {
	case brokerv1.UnitState_UNIT_STATE_EXITED:
		u.Exit = exitOf(&r.status)
	case brokerv1.UnitState_UNIT_STATE_LOST:
	default:
		u.MainPid = r.status.MainPID
	}
	return u
}

// Values of ExecMainCode, which is si_code of SIGCHLD (sigaction(2)).
const (
	cldExited = 1
	cldKilled = 2
	cldDumped = 3
)

func exitOf(st *systemd.Status) *brokerv1.Exit {
	e := &brokerv1.Exit{
		OomKilled: st.Result == "oom-kill",
		Result:    st.Result,
		ExitedAt:  timestamp(st.ExitedAt),
	}
	switch st.ExecMainCode {
	case cldExited:
		e.Code = st.ExecMainStatus
	case cldKilled, cldDumped:
		e.Signal = st.ExecMainStatus
	}
	return e
}

func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
