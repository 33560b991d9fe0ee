// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/grpc/codes"

	"nomad-systemd-driver/broker/policy"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// readStats asks a broker for its statistics, as the exporter does.
func (w *world) readStats() string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	served := make(chan error, 1)
	go func() { served <- w.server.ServeStats(ctx, l) }()
	conn, err := net.Dial("unix", path)
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := io.ReadAll(conn)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = conn.Close()
	cancel()
	if err := <-served; err != nil {
		w.t.Errorf("it ended with %v", err)
	}
	return string(text)
}

// TestStatisticsTellOfAPolicyWithAMistake, until one without is loaded.
func TestStatisticsTellOfAPolicyWithAMistake(t *testing.T) {
	w := newWorld(t)
	for _, row := range []struct {
		do   func()
		want string
	}{
		{func() {}, "systemd_brokerd_policy_refused 0\n"},
		{func() { w.server.PolicyRefused(errors.New("a mistake")) }, "systemd_brokerd_policy_refused 1\n"},
		{func() {
			if err := w.server.SetPolicy(w.ctx(), w.policy()); err != nil {
				t.Fatal(err)
			}
		}, "systemd_brokerd_policy_refused 0\n"},
	} {
		row.do()
		if text := w.readStats(); !strings.Contains(text, row.want) {
			t.Errorf("want %q in\n%s", row.want, text)
		}
	}
}

func TestStatisticsTellWhatHappened(t *testing.T) {
	w := newWorld(t)
	spec := w.spec("one")
	spec.Labels = map[string]string{"NOMAD_JOB_ID": "a\"b"}
	if _, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	denied := w.spec("two")
	denied.Command = "/usr/bin/no-rule-has-this"
	_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: denied})
	wantCode(t, err, codes.PermissionDenied, "")
	text := w.readStats()
	for _, want := range []string{
		`systemd_brokerd_requests_total{method="StartUnit",code="OK"} 1` + "\n",
		`systemd_brokerd_requests_total{method="StartUnit",code="PermissionDenied"} 1` + "\n",
		"systemd_brokerd_start_seconds_count 1\n",
		`systemd_brokerd_start_seconds_bucket{le="+Inf"} 1` + "\n",
		`systemd_brokerd_units{client="nomad",state="running"} 1` + "\n",
		`systemd_brokerd_units{client="nomad",state="exited"} 0` + "\n",
		`label_job_id="a\"b"} 1` + "\n",
		"systemd_brokerd_systemd_up 1\n",
		`systemd_brokerd_policy_info{sha256="` + w.policy().SHA256() + `"} 1` + "\n",
		`systemd_brokerd_build_info{version="1.2.3",systemd="252.39-1~deb12u1",`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("the text is not Prometheus's: %v\n%s", err, text)
	}
	if h := families["systemd_brokerd_start_seconds"].GetMetric()[0].GetHistogram(); len(h.GetBucket()) != len(buckets)+1 || h.GetSampleCount() != 1 {
		t.Errorf("got histogram %v", h)
	}
}

func TestStatisticsTellOfAMissingPolicy(t *testing.T) {
	w := newWorld(t)
	w.stop()
	w.boot(policy.DenyAll())
	if text := w.readStats(); !strings.Contains(text, `systemd_brokerd_policy_info{sha256=""} 0`) {
		t.Errorf("got\n%s", text)
	}
}

func TestHistogramPutsDurationsIntoTheirBuckets(t *testing.T) {
	var h histogram
	for _, seconds := range []float64{0, 0.005, 0.006, 10, 11} {
		h.add(seconds)
	}
	if h.counts[0] != 2 || h.counts[1] != 1 || h.counts[10] != 1 || h.counts[11] != 1 || len(h.counts) != len(buckets)+1 {
		t.Errorf("got %v", h.counts)
	}
}
