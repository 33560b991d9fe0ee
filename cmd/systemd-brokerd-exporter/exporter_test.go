// SPDX-License-Identifier: MPL-2.0

package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"nomad-systemd-driver/cgroup"
)

const fromBroker = `# HELP systemd_brokerd_requests_total Calls.
# TYPE systemd_brokerd_requests_total counter
systemd_brokerd_requests_total{method="StartUnit",code="OK"} 3
# HELP systemd_brokerd_unit_info The running units.
# TYPE systemd_brokerd_unit_info gauge
systemd_brokerd_unit_info{unit="nomad-web-1.service",client="nomad",control_group="/a.slice/nomad-web-1.service",label_job_id="shop"} 1
systemd_brokerd_unit_info{unit="nomad-gone-2.service",client="nomad",control_group="/a.slice/nomad-gone-2.service"} 1
`

// scrape is what Prometheus gets of a broker that writes text; one that is down if
// text is empty.
func scrape(t *testing.T, text string, units bool) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	if text != "" {
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			if conn, err := l.Accept(); err == nil {
				_, _ = conn.Write([]byte(text))
				_ = conn.Close()
			}
		}()
	}
	group := filepath.Join(dir, "cgroup/a.slice/nomad-web-1.service")
	if err := os.MkdirAll(group, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"cpu.stat":        "usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\n",
		"memory.current":  "8192\n",
		"memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=250000\n",
		"io.stat":         "254:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n",
	} {
		if err := os.WriteFile(filepath.Join(group, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := &source{path: path, groups: cgroup.Root(filepath.Join(dir, "cgroup")), units: units}
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(s, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK {
		t.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	return answer.Body.String()
}

func TestMetricsAreTheBrokersAndThoseOfItsUnits(t *testing.T) {
	text := scrape(t, fromBroker, true)
	for _, want := range []string{
		"systemd_brokerd_up 1\n", `systemd_brokerd_requests_total{method="StartUnit",code="OK"} 3` + "\n",
		`systemd_brokerd_unit_cpu_seconds_total{mode="user",unit="nomad-web-1.service"} 2` + "\n",
		`systemd_brokerd_unit_memory_bytes{unit="nomad-web-1.service"} 8192` + "\n",
		`systemd_brokerd_unit_io_bytes_total{direction="write",unit="nomad-web-1.service"} 20` + "\n",
		`systemd_brokerd_unit_pressure_seconds_total{kind="full",resource="memory",unit="nomad-web-1.service"} 0.25` + "\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, `memory_bytes{unit="nomad-gone-2`) {
		t.Errorf("a unit that is gone has values:\n%s", text)
	}
}

func TestMetricsOfUnitsCanBeLeftOut(t *testing.T) {
	if text := scrape(t, fromBroker, false); strings.Contains(text, "unit_memory_bytes") || !strings.Contains(text, "systemd_brokerd_up 1\n") {
		t.Errorf("got\n%s", text)
	}
}

func TestBrokerThatIsDownIsAMetric(t *testing.T) {
	for name, text := range map[string]string{"no socket": "", "nonsense": "{{{\n"} {
		if got := scrape(t, text, true); !strings.Contains(got, "systemd_brokerd_up 0\n") {
			t.Errorf("%s: got\n%s", name, got)
		}
	}
}

func TestListensOnLoopbackOnly(t *testing.T) {
	for at, good := range map[string]bool{
		"127.0.0.1:0": true, "[::1]:0": true, filepath.Join(t.TempDir(), "s"): true,
		"0.0.0.0:0": false, ":0": false, "192.0.2.1:80": false, "localhost:0": false, "": false, "nonsense": false,
	} {
		l, err := listener(at)
		if (err == nil) != good && !strings.Contains(at, "::1") { // a host may have no IPv6
			t.Errorf("%q: got %v", at, err)
		}
		if err == nil {
			_ = l.Close()
		}
	}
}
