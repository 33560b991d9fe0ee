// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// document is the report under way.
type document struct {
	*figures
	name, dir string
	text      strings.Builder
	err       error
}

func (d *document) say(format string, args ...any) { fmt.Fprintf(&d.text, format+"\n\n", args...) }

func (d *document) table(head []string, rows [][]string) {
	if len(rows) == 0 {
		d.say("Not measured in this run.")
		return
	}
	fmt.Fprintf(&d.text, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, row := range rows {
		fmt.Fprintf(&d.text, "| %s |\n", strings.Join(row, " | "))
	}
	d.text.WriteString("\n")
}

func (d *document) write() {
	m := d.machine
	d.say("# Figures of one run: %s", m["distro"])
	d.say("Made by `make bench`; the raw figures are in [%s.csv](%s.csv), what they mean is in the [report](README.md).", d.name, d.name)
	d.say("systemd %s, Linux %s, Nomad %s; %s CPUs (%s), %s.", m["systemd"], m["kernel"], m["nomad"], m["cpus"], m["cpu"], m["memory"])
	d.say("A measure is of one boot; different measures can be of several. The host, shared with other emulated machines:")
	for _, what := range slices.Sorted(maps.Keys(m)) {
		if strings.HasPrefix(what, "host") {
			fmt.Fprintf(&d.text, "- %s: %s\n", what, m[what])
		}
	}
	d.text.WriteString("\n")
	d.say("Each cell is a median with its quartiles. Ratios are of two figures of the same round, then their median and quartiles. " +
		"Absolute times of an emulated machine mean nothing outside of it.")
	d.targets()
	d.starts()
	d.lives()
	d.views()
	d.jobs()
	d.growth()
}

func cell(s spread, unit string) string {
	if s.n == 0 {
		return "-"
	}
	return fmt.Sprintf("%s (%s to %s)", withUnit(s.mid, unit), withUnit(s.low, unit), withUnit(s.top, unit))
}

func ratioCell(s spread) string {
	if s.n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", s.mid, s.low, s.top)
}

func (d *document) starts() {
	d.say("## Starts")
	d.say("`bare` is a loop of StartTransientUnit over PID 1's private socket with a command and nothing else. `same unit` is that loop with " +
		"all the properties the broker sends, made by the broker's own code: the floor for a unit in the same sandbox. " +
		"`systemd-run` is `systemd-run --wait` of the bare unit, `podman run` a container with the host's network and processes. Time is from the request to the program having been executed.")
	var rows [][]string
	for _, c := range d.parameters("start", "") {
		for _, s := range d.subjects("start") {
			k := key{"start", s, c}
			if d.spread(k).n == 0 {
				continue
			}
			rows = append(rows, []string{
				c, s, cell(d.spread(k), "s"), ratioCell(d.ratio(k, key{"start", "same unit", c})), ratioCell(d.ratio(k, key{"start", "bare", c})),
				cell(d.spread(key{"rate", s, c}), "1/s"), ratioCell(d.ratio(key{"rate", s, c}, key{"rate", "same unit", c})), fmt.Sprint(d.spread(k).n),
			})
		}
	}
	d.table([]string{"at once", "", "start latency", "ratio to same unit", "ratio to bare", "starts per second", "ratio to same unit", "runs"}, rows)
	d.boxes("start", "Start latency, one at a time", "start", "1", d.subjects("start"), 1000, "ms")
	d.lines("rate", "Starts per second", "starts at once", "1/s", 1,
		curve{"bare", "rate", "bare"}, curve{"same unit", "rate", "same unit"}, curve{"broker", "rate", "broker"})
	d.say("### Who works for a unit, from its start to its removal")
	d.say("Processor time for each unit, one at a time; `machine` is all of it, with the unit's own processes and the benchmark's.")
	rows = nil
	for _, what := range []string{"PID 1", "broker", "mounts", "journal", "udev", "machine"} {
		row := []string{what}
		for _, s := range []string{"bare", "same unit", "broker"} {
			row = append(row, cell(d.spread(key{"cpu per life", s, "1 " + what}), "s"))
		}
		rows = append(rows, row)
	}
	d.table([]string{"", "bare", "same unit", "broker"}, rows)
	d.say("### Pieces of a start by themselves")
	rows = nil
	for _, s := range d.subjects("part") {
		rows = append(rows, []string{s, cell(d.spread(key{"part", s, ""}), "s")})
	}
	d.table([]string{"", "time"}, rows)
}

func (d *document) lives() {
	d.say("## Ends")
	d.say("From SIGKILL for the main process until the peer has told of its end; and from the request to stop a program that ends at SIGTERM to the answer.")
	var rows [][]string
	for _, s := range d.subjects("exit") {
		e, st := key{"exit", s, ""}, key{"stop", s, ""}
		rows = append(rows, []string{
			s, cell(d.spread(e), "s"), ratioCell(d.ratio(e, key{"exit", "same unit", ""})),
			cell(d.spread(st), "s"), ratioCell(d.ratio(st, key{"stop", "same unit", ""})), fmt.Sprint(d.spread(e).n),
		})
	}
	d.table([]string{"", "end noticed", "ratio to same unit", "stop", "ratio to same unit", "runs"}, rows)
}

func (d *document) views() {
	d.say("## Root file systems")
	d.say("A start through the broker, by what the task sees. What `exec` takes to build its chroot is below, in the time from setup to start.")
	var rows [][]string
	for _, p := range d.parameters("rootfs", "broker") {
		k := key{"rootfs", "broker", p}
		rows = append(rows, []string{p, cell(d.spread(k), "s"), ratioCell(d.ratio(k, key{"rootfs", "broker", "minimal"})), fmt.Sprint(d.spread(k).n)})
	}
	d.table([]string{"rootfs", "start latency", "ratio to minimal", "runs"}, rows)
}

var jobMeasures = []struct{ measure, text string }{
	{"job submit to started", "job submitted to task started"},
	{"job setup to started", "task setup to task started"},
	{"job exit noticed", "end of the task noticed"},
	{"job stop", "stop"},
	{"alloc exec", "`alloc exec` of echo"},
	{"log throughput", "log throughput"},
}

// drivers are the peers of jobs, without those of which the run has no figures.
func (d *document) drivers() (peers []string) {
	for _, driver := range []string{"raw_exec", "exec", "exec2"} {
		if d.spread(key{"job setup to started", driver, ""}).n > 0 {
			peers = append(peers, driver)
		}
	}
	return peers
}

func (d *document) jobs() {
	d.say("## Nomad jobs")
	d.say("The same job under an agent without privileges (`systemd`) and under one that runs as root (the others), both up in the same boot, " +
		"the drivers taking turns. Times of events are Nomad's own.")
	peers := d.drivers()
	all := append([]string{"systemd"}, peers...)
	head := append([]string{""}, all...)
	for _, peer := range peers {
		head = append(head, "systemd / "+peer)
	}
	var rows [][]string
	for _, m := range jobMeasures {
		k := func(driver string) key { return key{m.measure, driver, ""} }
		if d.spread(k("systemd")).n == 0 {
			continue
		}
		row := []string{m.text}
		for _, driver := range all {
			row = append(row, cell(d.spread(k(driver)), d.unit[m.measure]))
		}
		for _, peer := range peers {
			row = append(row, ratioCell(d.ratio(k("systemd"), k(peer))))
		}
		rows = append(rows, append(row, fmt.Sprint(d.spread(k("systemd")).n)))
	}
	d.table(append(head, "runs"), rows)
	d.boxes("job", "Task setup to task started", "job setup to started", "", all, 1000, "ms")
	d.boxes("log", "Log throughput", "log throughput", "", all, 1, "MiB/s")
	d.say("Processes that come with one task, beside its own, and the memory that is theirs alone:")
	rows = nil
	for _, driver := range all {
		row, measured := []string{driver}, false
		for _, kind := range []string{"executor", "logmon", "other"} {
			n := d.spread(key{"job processes", driver, kind})
			measured = measured || n.n > 0
			row = append(row, fmt.Sprintf("%s (%s)", number(n.mid), withUnit(d.spread(key{"job own memory", driver, kind}).mid, "KiB")))
		}
		if measured {
			rows = append(rows, row)
		}
	}
	d.table([]string{"", "executor", "logmon (Nomad's, for any driver)", "other"}, rows)
	if n := d.spread(key{"podman processes", "conmon", ""}); n.n > 0 {
		d.say("With a container of podman %s, by itself, comes a `conmon`: %s (%s).", d.machine["podman"], number(n.mid),
			withUnit(d.spread(key{"podman own memory", "conmon", ""}).mid, "KiB"))
	}
}

func (d *document) growth() {
	d.say("## Growth")
	d.say("Tasks started through the driver's own process, as Nomad runs it. Processor time and wake-ups are for each minute of a steady state; " +
		"`stats` is with statistics of every task each second.")
	points := d.parameters("growth rss", "broker")
	head := []string{""}
	for _, p := range points {
		head = append(head, p)
	}
	var rows [][]string
	for _, m := range growthRows {
		if len(points) == 0 {
			break
		}
		row := []string{m.text}
		for _, p := range points {
			s := d.spread(key{m.measure, m.subject, p})
			if s.n == 0 {
				row = append(row, "-")
				continue
			}
			row = append(row, withUnit(s.mid, d.unit[m.measure]))
		}
		rows = append(rows, row)
	}
	d.table(slices.Concat(head), rows)
	d.lines("memory", "Memory", "units", "MiB", 1.0/1024, curve{"PID 1", "growth rss", "PID 1"}, curve{"broker", "growth rss", "broker"}, curve{"driver", "growth rss", "driver"})
	d.lines("stats", "Processor time with statistics each second", "units", "s/min", 1,
		curve{"driver", "growth cpu stats", "driver"}, curve{"broker", "growth cpu stats", "broker"}, curve{"PID 1", "growth cpu stats", "PID 1"})
	d.lines("start-growth", "One more start, beside so many units", "units", "ms", 1000, curve{"driver", "growth start", "driver"})
	d.lines("recover", "Time to know all units again", "units", "ms", 1000,
		curve{"new broker", "recover", "broker"}, curve{"new driver", "recover", "driver"}, curve{"ListUnits", "recover", "ListUnits"})
	d.fits()
}

var growthRows = []struct{ text, measure, subject string }{
	{"one more start", "growth start", "driver"},
	{"RSS of PID 1", "growth rss", "PID 1"},
	{"RSS of the broker", "growth rss", "broker"},
	{"RSS of the driver", "growth rss", "driver"},
	{"RSS of the driver after statistics", "growth rss with stats", "driver"},
	{"descriptors of PID 1", "growth descriptors", "PID 1"},
	{"descriptors of the broker", "growth descriptors", "broker"},
	{"processor, idle: PID 1", "growth cpu idle", "PID 1"},
	{"processor, idle: broker", "growth cpu idle", "broker"},
	{"processor, idle: driver", "growth cpu idle", "driver"},
	{"processor, stats: PID 1", "growth cpu stats", "PID 1"},
	{"processor, stats: broker", "growth cpu stats", "broker"},
	{"processor, stats: driver", "growth cpu stats", "driver"},
	{"wake-ups, stats: PID 1", "growth wakeups stats", "PID 1"},
	{"calls on D-Bus, idle", "growth d-bus idle", "broker"},
	{"calls on D-Bus, stats", "growth d-bus stats", "broker"},
	{"ListUnits", "recover", "ListUnits"},
	{"new broker knows all", "recover", "broker"},
	{"new driver knows all", "recover", "driver"},
}

func (d *document) fits() {
	d.say("### Straight lines through it")
	var rows [][]string
	for _, m := range growthRows {
		l := d.fit(m.measure, m.subject)
		if l.n < 3 {
			continue
		}
		unit := d.unit[m.measure]
		rows = append(rows, []string{m.text, withUnit(l.base, unit), withUnit(1000*l.slope, unit), fmt.Sprintf("%.3f", l.r2), withUnit(l.base+10000*l.slope, unit)})
	}
	d.table([]string{"", "at none", "for each 1000 units", "R²", "the line at 10 000"}, rows)
}
