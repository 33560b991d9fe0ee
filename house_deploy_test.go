// SPDX-License-Identifier: MPL-2.0

package house

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// settings are the lines of a unit's section [Service] that set something.
func settings(unit string) []string {
	_, service, _ := strings.Cut(unit, "[Service]\n")
	service, _, _ = strings.Cut(service, "[Install]")
	var all []string
	for line := range strings.Lines(service) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			all = append(all, line)
		}
	}
	return all
}

// TestDropInConfinesTheAgentAsItsUnitDoes: there are two ways to run an agent without
// privileges, and one idea of what that is.
func TestDropInConfinesTheAgentAsItsUnitDoes(t *testing.T) {
	unit := settings(read(t, "deploy/systemd/nomad.service"))
	dropIn := settings(read(t, "deploy/systemd/nomad.service.d/unprivileged.conf"))
	// The other package's unit says these itself.
	theirs := regexp.MustCompile(`^(ExecStart|ExecReload|Restart|RestartSec|LimitNOFILE|TasksMax)=`)
	for _, line := range unit {
		if !theirs.MatchString(line) && !slices.Contains(dropIn, line) {
			t.Errorf("the drop-in lacks %s", line)
		}
	}
	for _, line := range dropIn {
		if !slices.Contains(unit, line) {
			t.Errorf("the unit lacks %s", line)
		}
	}
}

// TestDaemonsHaveThreadsEnough: a Go program that is refused a thread dies. It makes one
// for each CPU that it may use, those of the runtime, and one for each system call that
// blocks.
func TestDaemonsHaveThreadsEnough(t *testing.T) {
	units, err := filepath.Glob("deploy/systemd/systemd-brokerd*.service")
	if err != nil || len(units) < 4 {
		t.Fatalf("found %v, %v", units, err)
	}
	for _, path := range units {
		number := func(setting string) int {
			for _, line := range settings(read(t, path)) {
				if text, ok := strings.CutPrefix(line, setting+"="); ok {
					n, err := strconv.Atoi(text)
					if err != nil {
						t.Errorf("%s: %s: %v", path, line, err)
					}
					return n
				}
			}
			t.Errorf("%s does not set %s", path, setting)
			return 0
		}
		if cpus, tasks := number("Environment=GOMAXPROCS"), number("TasksMax"); tasks < 16*cpus {
			t.Errorf("%s: %d tasks for a program that uses %d CPUs", path, tasks, cpus)
		}
	}
}

// TestEveryMetricExists: a dashboard that asks for what is not there shows nothing,
// and an alert on it never comes.
func TestEveryMetricExists(t *testing.T) {
	var known string
	for _, path := range []string{"broker/stats.go", "cmd/systemd-brokerd-exporter/source.go"} {
		known += read(t, path)
	}
	name, found := regexp.MustCompile(`systemd_brokerd_([a-z_]+)`), 0
	for _, path := range []string{"deploy/prometheus/alerts.yaml", "deploy/prometheus/dashboard.json"} {
		for _, m := range name.FindAllStringSubmatch(read(t, path), -1) {
			metric := strings.TrimSuffix(m[1], "_bucket")
			found++
			if !strings.Contains(known, `"`+metric+`"`) && !strings.Contains(known, `"`+strings.TrimPrefix(metric, "unit_")+`"`) {
				t.Errorf("%s: nothing is called %s", path, m[0])
			}
		}
	}
	if found < 20 {
		t.Errorf("found %d names of metrics only", found)
	}
}

func TestEveryAlertIsExplained(t *testing.T) {
	guide := read(t, "docs/operations.md")
	alerts := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(read(t, "deploy/prometheus/alerts.yaml"), -1)
	if len(alerts) == 0 {
		t.Error("found no alerts")
	}
	for _, m := range alerts {
		if !strings.Contains(guide, "| `"+m[1]+"` |") {
			t.Errorf("docs/operations.md does not say what to do about %s", m[1])
		}
	}
}
