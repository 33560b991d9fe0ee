// SPDX-License-Identifier: MPL-2.0

//go:build e2e

// The tests in this file make units of the PID 1 of the host, which are never
// started: run them as root in a throw-away machine.

package directive_test

import (
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/directive"
)

const (
	unitPrefix = "brokerd-directive-"
	unitDir    = "/run/systemd/system"
	systemd1   = "org.freedesktop.systemd1"
)

// knownCapabilities are those that have a name.
const knownCapabilities = 1<<41 - 1

// lost are properties that some systemd loses at a daemon-reload, whatever the
// value: they are applied when a program starts, which no program of a task does
// after a reload.
var lost = map[string]string{
	// The empty list of allowed kinds is written as a reset.
	"RestrictNamespaces": "0",
	// 252 writes something else.
	"NUMAPolicy": "",
}

// TestRealDirectives takes what Parse accepts of the corpus, and of values that are
// generated, for every directive, and compares all properties of four units: ours, what
// systemd-run makes of the same text, what a unit file with the same lines
// gives, and ours again after a daemon-reload.
func TestRealDirectives(t *testing.T) {
	p := dial(t)
	hand, made := mostByHand, mostGenerated
	if testing.Short() {
		hand, made = 3, 1
	}
	var one, more []testCase
	for _, d := range offered() {
		for _, c := range slices.Concat(tried(d, corpus(), hand), tried(d, generated(), made)) {
			if len(c.lines) == 1 {
				one = append(one, c)
			} else {
				more = append(more, c)
			}
		}
	}
	n := p.compare(t, p.batches(one), true)
	m := p.compare(t, p.batches(more), false)
	effective := 0
	for name, of := range n.effective {
		if effective += of + m.effective[name]; of == 0 {
			t.Errorf("no value of %s changes any property, so that nothing is shown of it", name)
		}
	}
	t.Logf("systemd %d: %d cases of %d directives, %d mismatches; %d changed a property; "+
		"%d against systemd-run (%d it cannot express), %d against a unit file, %d across a daemon-reload (%d lost by systemd)",
		p.version, n.cases+m.cases, len(n.effective), n.mismatches+m.mismatches, effective,
		n.run, n.inexpressible, n.cases+m.cases, n.cases+m.cases, n.lost+m.lost)
}

// TestRealHostileValues does the same with the values that try to break out of
// their line and that Parse accepts. How many it refuses is in docs/directives.md,
// which TestReferenceIsCurrent holds to.
func TestRealHostileValues(t *testing.T) {
	p := dial(t)
	var cases []testCase
	refused := 0
	for _, d := range offered() {
		taken := accepted(d, singles(hostile))
		refused += len(hostile) - len(taken)
		cases = append(cases, taken...)
	}
	n := p.compare(t, p.batches(cases), false)
	t.Logf("systemd %d: of %d hostile values for %d directives %d were refused; %d were accepted and the same after a daemon-reload, %d mismatches",
		p.version, refused+len(cases), len(offered()), refused, n.cases, n.mismatches)
}

// TestRealReloadIsDangerous shows that the tests above can fail: what Parse
// refuses changes the unit at a daemon-reload, and the comparison sees what.
func TestRealReloadIsDangerous(t *testing.T) {
	p := dial(t)
	for name, tt := range map[string]struct{ value, changes string }{
		"break":     {"x\nNoNewPrivileges=yes", "NoNewPrivileges"},
		"backslash": {`x\`, "LogLevelMax"},
		"root":      {"x\nExecStopPost=+/bin/false", "ExecStopPost"},
		"paths":     {"x\nExecPaths=/usr", "ExecPaths"},
		"unit":      {"x\n[Unit]\nOnFailure=e2e-none.target\n[Service]", "OnFailure"},
		"specifier": {"x%%y", ""},
	} {
		unit := p.prefix + "danger-" + name + ".service"
		if err := p.start(unit, []directive.Value{{Name: "SyslogIdentifier", Value: dbus.MakeVariant(tt.value)}, {Name: "LogLevelMax", Value: dbus.MakeVariant(int32(3))}}); err != nil {
			t.Fatal(err)
		}
		before := p.properties(t, unit)
		p.reload(t)
		if after := p.properties(t, unit); tt.changes != "" && before[tt.changes] == after[tt.changes] {
			t.Errorf("%q: %s is %s before and after a daemon-reload, so that this test shows nothing", tt.value, tt.changes, after[tt.changes])
		}
	}
}

// TestRealSince asks an older systemd for what it is said not to have.
func TestRealSince(t *testing.T) {
	p := dial(t)
	asked := 0
	for _, d := range offered() {
		seen := make(map[string]bool) // one of each property is enough
		for _, c := range accepted(d, corpus()) {
			name := ""
			for _, v := range c.values {
				if d.Since > p.version || v.Since > p.version && strings.HasSuffix(v.Name, "Ex") {
					name = v.Name
				}
			}
			if name == "" || seen[name] {
				continue
			}
			seen[name] = true
			asked++
			if err := p.start(fmt.Sprintf("%ssince-%d.service", p.prefix, asked), c.values); err == nil {
				t.Errorf("systemd %d takes %s, which is said to need %d", p.version, c, c.needs())
			}
		}
	}
	t.Logf("systemd %d refused all of %d properties said to be newer", p.version, asked)
}

// batches are cases that share one unit, each of another directive.
func (p *pid1) batches(cases []testCase) [][]testCase {
	const most = 16
	rounds := make(map[string]int)
	var all [][]testCase
	byRound := make(map[int][]testCase)
	last := 0
	for _, c := range cases {
		if c.needs() > p.version {
			continue
		}
		r := rounds[c.d.Name]
		rounds[c.d.Name]++
		byRound[r] = append(byRound[r], c)
		last = max(last, r)
	}
	for r := range last + 1 {
		all = slices.AppendSeq(all, slices.Chunk(byRound[r], most))
	}
	return all
}

type counts struct {
	cases, mismatches, run, inexpressible, lost int
	effective                                   map[string]int // cases that changed a property, by directive
}

// compare makes the units of each batch and compares them.
func (p *pid1) compare(t *testing.T, batches [][]testCase, withRun bool) counts {
	t.Helper()
	n := counts{effective: make(map[string]int)}
	names := make([]string, len(batches))
	for i, batch := range batches {
		p.units++
		names[i] = fmt.Sprintf("%s%d", p.prefix, p.units)
		p.writeUnit(t, names[i]+"-file.service", batch)
	}
	p.writeUnit(t, p.prefix+"default.service", nil)
	p.reload(t)
	plain := p.properties(t, p.prefix+"default.service")
	ours := make([]map[string]string, len(batches))
	for i, batch := range batches {
		n.cases += len(batch)
		var values []directive.Value
		for _, c := range batch {
			n.effective[c.d.Name] += 0
			values = append(values, c.values...)
		}
		if err := p.start(names[i]+".service", values); err != nil {
			t.Errorf("PID 1 refuses %v: %v", batch, err)
			p.blame(t, batch)
			n.mismatches++
			continue
		}
		ours[i] = p.properties(t, names[i]+".service")
		countChanged(n.effective, batch, plain, ours[i])
		n.mismatches += differences(t, "the unit file has", batch, ours[i], p.properties(t, names[i]+"-file.service"), true)
		if withRun {
			run, inexpressible, mismatches := p.compareRun(t, names[i], batch)
			n.run, n.inexpressible, n.mismatches = n.run+run, n.inexpressible+inexpressible, n.mismatches+mismatches
		}
	}
	p.reload(t)
	for i, batch := range batches {
		if ours[i] == nil {
			continue
		}
		now := p.properties(t, names[i]+".service")
		for name, value := range lost {
			if ours[i][name] != now[name] && (value == "" || ours[i][name] == value) {
				n.lost++
				now[name] = ours[i][name]
			}
		}
		n.mismatches += differences(t, "after a daemon-reload it is", batch, ours[i], now, false)
	}
	return n
}

// blame finds the case PID 1 refuses.
func (p *pid1) blame(t *testing.T, batch []testCase) {
	t.Helper()
	for _, c := range batch {
		p.units++
		if err := p.start(fmt.Sprintf("%sblame-%d.service", p.prefix, p.units), c.values); err != nil {
			t.Errorf("PID 1 refuses %s: %v", c, err)
		}
	}
}

// writeUnit writes a unit file with the same lines.
func (p *pid1) writeUnit(t *testing.T, name string, batch []testCase) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "[Unit]\nAfter=%s\n[Service]\nType=oneshot\nExecStart=/bin/true\n", p.blocker)
	for _, c := range batch {
		for _, line := range c.lines {
			fmt.Fprintf(&b, "%s=%s\n", c.d.Name, line)
		}
	}
	if err := os.WriteFile(filepath.Join(unitDir, name), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// inexpressible are cases that systemd-run has no way to say, although unit
// files and PID 1 have.
func inexpressible(c testCase) bool {
	line := c.lines[0]
	switch c.d.Name {
	case "NonBlocking":
		return true
	case "RestrictAddressFamilies":
		// For an empty line it asks for none at all.
		return line == "none" || line == ""
	case "RestrictNamespaces", "SystemCallErrorNumber", "IODeviceLatencyTargetSec":
		return line == ""
	case "ExecSearchPath":
		// It takes all of it for one path.
		return strings.Contains(line, ":")
	case "IPAddressAllow", "IPAddressDeny":
		// It knows the names alone.
		return strings.Contains(line, " ") && regexp.MustCompile("any|localhost|link-local|multicast").MatchString(line)
	}
	return strings.HasPrefix(c.d.Name, "StartupMemory") || c.d.Name == "DefaultStartupMemoryLow"
}

// compareRun has systemd-run make a unit of all cases it can express.
func (p *pid1) compareRun(t *testing.T, name string, batch []testCase) (run, not, mismatches int) {
	t.Helper()
	args := []string{"--no-block", "--unit=" + name + "-run", "-p", "Type=oneshot", "-p", "After=" + p.blocker}
	var values []directive.Value
	var cases []testCase
	for _, c := range batch {
		if inexpressible(c) {
			not++
			continue
		}
		property := c.d.Name
		// systemd-run wants the name of the property for these.
		if n := len(c.values); n > 0 && strings.HasSuffix(c.values[n-1].Name, "Ex") {
			property = c.values[n-1].Name
		}
		args = append(args, "-p", property+"="+c.lines[0])
		cases, values = append(cases, c), append(values, c.values...)
	}
	run = len(cases)
	if out, err := exec.Command("systemd-run", append(args, "/bin/true")...).CombinedOutput(); err != nil {
		t.Errorf("systemd-run refuses %v: %s", cases, out)
		return run, not, 1
	}
	ours := name + ".service"
	if not > 0 {
		ours = name + "-expressible.service"
		if err := p.start(ours, values); err != nil {
			t.Errorf("PID 1 refuses %v: %v", cases, err)
			return run, not, 1
		}
	}
	return run, not, differences(t, "systemd-run sets", cases, p.properties(t, ours), p.properties(t, name+"-run.service"), false)
}

// countChanged counts the cases that set a property to other than its default.
func countChanged(n map[string]int, batch []testCase, plain, ours map[string]string) {
	for _, c := range batch {
		if slices.ContainsFunc(c.d.Buses, func(b directive.Bus) bool {
			name := strings.TrimSuffix(b.Name, "Scale")
			name = strings.Replace(name, "Directories", "Paths", 1) // how they are read
			return ours[name] != plain[name]
		}) {
			n[c.d.Name]++
		}
	}
}

// differences reports each property that differs. A unit file's percentages are
// of the memory as PID 1 knows it, over D-Bus they are rounded to 2^-32 of it.
func differences(t *testing.T, who string, batch []testCase, ours, theirs map[string]string, rounded bool) int {
	t.Helper()
	n := 0
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		if ours[name] == theirs[name] || rounded && nearly(ours[name], theirs[name]) {
			continue
		}
		n++
		var suspects []string
		for _, c := range batch {
			if slices.ContainsFunc(c.d.Buses, func(b directive.Bus) bool { return strings.HasPrefix(name, b.Name) || strings.HasPrefix(b.Name, name) }) {
				suspects = append(suspects, c.String())
			}
		}
		t.Errorf("%s: ours is %s, %s %s; set by %q", name, ours[name], who, theirs[name], suspects)
	}
	return n
}

func nearly(a, b string) bool {
	x, err := strconv.ParseFloat(a, 64)
	y, err2 := strconv.ParseFloat(b, 64)
	return err == nil && err2 == nil && x > 1<<20 && math.Abs(x-y) <= 4096
}
