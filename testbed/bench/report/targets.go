// SPDX-License-Identifier: MPL-2.0

package main

import "fmt"

// targets compares the figures with what was aimed at. The median decides.
func (d *document) targets() {
	d.say("## Targets")
	var rows [][]string
	add := func(what, aim, got string, met, measured bool) {
		verdict := "**not met**"
		switch {
		case !measured:
			verdict, got = "not measured", "-"
		case met:
			verdict = "met"
		}
		rows = append(rows, []string{what, aim, got, verdict})
	}
	atMost := func(what string, s spread, aim float64) {
		add(what, fmt.Sprintf("at most %g", aim), ratioCell(s), s.mid <= aim, s.n > 0)
	}
	atLeast := func(what string, s spread, aim float64) {
		add(what, fmt.Sprintf("at least %g", aim), ratioCell(s), s.mid >= aim, s.n > 0)
	}
	atMost("start latency, ratio to the same unit started directly", d.ratio(key{"start", "broker", "1"}, key{"start", "same unit", "1"}), 1.15)
	atMost("start latency, ratio to a bare unit", d.ratio(key{"start", "broker", "1"}, key{"start", "bare", "1"}), 1.15)
	for _, peer := range []string{"raw_exec", "exec"} {
		atMost("task setup to started, ratio to "+peer, d.ratio(key{"job setup to started", "systemd", ""}, key{"job setup to started", peer, ""}), 1)
	}
	executors := d.spread(key{"job processes", "systemd", "executor"})
	others := d.spread(key{"job processes", "systemd", "other"})
	add("processes for each task, beside Nomad's log collector", "0", number(executors.mid+others.mid), executors.mid+others.mid == 0, executors.n > 0)
	for _, c := range d.parameters("rate", "broker") {
		atLeast("starts per second, "+c+" at once, ratio to the same unit started directly", d.ratio(key{"rate", "broker", c}, key{"rate", "same unit", c}), 0.9)
	}
	b, dr := d.fit("growth rss", "broker"), d.fit("growth rss with stats", "driver")
	add("memory for each further task, broker and driver", "at most 32 KiB", number(b.slope+dr.slope)+" KiB", b.slope+dr.slope <= 32, b.n > 2 && dr.n > 2)
	var calls float64
	points := d.parameters("growth d-bus stats", "broker")
	for _, p := range points {
		calls = max(calls, d.spread(key{"growth d-bus stats", "broker", p}).mid)
	}
	add("calls on D-Bus a minute with statistics, at any number of units", "0", number(calls), calls == 0, len(points) > 0)
	atLeast("log throughput, ratio to raw_exec", d.ratio(key{"log throughput", "systemd", ""}, key{"log throughput", "raw_exec", ""}), 1)
	if all := d.parameters("recover", "broker"); len(all) > 0 {
		n := all[len(all)-1]
		s := d.spread(key{"recover", "broker", n})
		add("a new broker knows "+n+" units", "2 s for 1000, not emulated", fmt.Sprintf("%s, %s times ListUnits", cell(s, "s"),
			number(d.ratio(key{"recover", "broker", n}, key{"recover", "ListUnits", n}).mid)), s.mid <= 2, true)
	}
	d.table([]string{"", "aim", "got", ""}, rows)
}
