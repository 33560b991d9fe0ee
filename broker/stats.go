// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"fmt"
	"net"
	"sort"
	"strconv"
	"strings"
	"time"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// statsTimeout is how long a reader of the statistics may take.
const statsTimeout = 5 * time.Second

// ServeStats writes the broker's statistics, in the text format of Prometheus, to
// whoever connects to l, until ctx ends. Not a byte is read from the other side: a
// program without privileges speaks HTTP with the rest of the world.
func (s *Server) ServeStats(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		conn, err := accept(l, s.log)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot serve statistics: %w", err)
		}
		// One after the other: there is one reader, and it cannot hold up others for long.
		_ = conn.SetDeadline(time.Now().Add(statsTimeout))
		_, _ = conn.Write([]byte(s.stats()))
		_ = conn.Close()
	}
}

// stats are the statistics as of now. The writing is done here, in forty lines: the
// library for it would be a dozen packages more in a daemon of root's.
func (s *Server) stats() string {
	var w metricsWriter
	w.head("build_info", "gauge", "Versions of the broker and of systemd.")
	w.value(1, "version", s.config.Version, "systemd", s.systemd.Version(), "kernel", s.kernel)
	w.head("start_time_seconds", "gauge", "When the broker was started, in seconds since 1970.")
	w.value(float64(s.began.Unix()))
	w.head("systemd_up", "gauge", "1 if PID 1 answers.")
	w.value(boolValue(s.systemd.Health() == nil))
	w.head("policy_info", "gauge", "The policy in force; 0 if there is none, and all is denied.")
	sum := s.policy.Load().SHA256()
	w.value(boolValue(sum != ""), "sha256", sum)
	w.head("policy_refused", "gauge", "1 if the last policy that was to be loaded has a mistake, so that another one is in force, or none.")
	w.value(boolValue(s.refused.Load()))

	calls, starts := s.counters.copy()
	kinds := make([]call, 0, len(calls))
	for k := range calls {
		kinds = append(kinds, k)
	}
	sort.Slice(kinds, func(i, j int) bool {
		return kinds[i].method+kinds[i].code.String() < kinds[j].method+kinds[j].code.String()
	})
	w.head("requests_total", "counter", "Calls of clients by method and outcome; denials of StartUnit have the code PermissionDenied.")
	for _, k := range kinds {
		w.value(float64(calls[k]), "method", k.method, "code", k.code.String())
	}
	w.histogram("start_seconds", "How long it took to start a unit.", &starts)
	s.unitStats(&w)
	return w.text.String()
}

// unitStats tells how many units there are, and of each what one needs to look
// further: its control group, and its labels.
func (s *Server) unitStats(w *metricsWriter) {
	s.units.mu.Lock()
	defer s.units.mu.Unlock()
	counts := make(map[[2]string]int)
	for _, c := range s.clients.Load().byUID {
		for _, state := range []string{"starting", "running", "exited", "lost", "session"} {
			counts[[2]string{c.Name, state}] = 0
		}
	}
	records := make([]*record, 0, len(s.units.byUnit))
	for _, r := range s.units.byUnit {
		records = append(records, r)
		state := stateName(r.state)
		if r.session != "" {
			state = "session"
		}
		counts[[2]string{r.client, state}]++
	}
	keys := make([][2]string, 0, len(counts))
	for k := range counts {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i][0]+keys[i][1] < keys[j][0]+keys[j][1] })
	w.head("units", "gauge", "Units by client and state; session: a command in a running task.")
	for _, k := range keys {
		w.value(float64(counts[k]), "client", k[0], "state", k[1])
	}
	sort.Slice(records, func(i, j int) bool { return records[i].unit < records[j].unit })
	w.head("unit_info", "gauge", "The running units.")
	for _, r := range records {
		if r.state != brokerv1.UnitState_UNIT_STATE_RUNNING || r.session != "" {
			continue
		}
		labels := []string{"unit", r.unit, "client", r.client, "rule", r.rule, "control_group", r.controlGroupLocked()}
		names := make([]string, 0, len(r.labels))
		for name := range r.labels {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			_, short, _ := strings.Cut(name, "_")
			labels = append(labels, "label_"+strings.ToLower(short), r.labels[name])
		}
		w.value(1, labels...)
	}
}

func stateName(s brokerv1.UnitState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "UNIT_STATE_"))
}

func boolValue(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// metricsWriter writes the text format of Prometheus, version 0.0.4.
type metricsWriter struct {
	text strings.Builder
	name string
}

const metricsPrefix = "systemd_brokerd_"

func (w *metricsWriter) head(name, kind, help string) {
	w.name = metricsPrefix + name
	fmt.Fprintf(&w.text, "# HELP %s %s\n# TYPE %s %s\n", w.name, help, w.name, kind)
}

// value writes one sample, with labels as names and values in turn. Names of labels
// are ours, or were checked when the unit was started: letters, digits and "_".
func (w *metricsWriter) value(v float64, labels ...string) { w.sample("", v, labels...) }

func (w *metricsWriter) sample(suffix string, v float64, labels ...string) {
	w.text.WriteString(w.name + suffix)
	for i := 0; i+1 < len(labels); i += 2 {
		w.text.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
		w.text.WriteString(labels[i] + `="` + labelEscaper.Replace(labels[i+1]) + `"`)
	}
	if len(labels) > 0 {
		w.text.WriteByte('}')
	}
	w.text.WriteString(" " + strconv.FormatFloat(v, 'g', -1, 64) + "\n")
}

var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (w *metricsWriter) histogram(name, help string, h *histogram) {
	w.head(name, "histogram", help)
	var n uint64
	for i, c := range h.counts {
		n += c
		bound := "+Inf"
		if i < len(buckets) {
			bound = strconv.FormatFloat(buckets[i], 'g', -1, 64)
		}
		w.sample("_bucket", float64(n), "le", bound)
	}
	w.sample("_sum", h.sum)
	w.sample("_count", float64(n))
}
