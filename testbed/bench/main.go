// SPDX-License-Identifier: MPL-2.0

// Command bench measures the broker, the driver and their peers on the machine
// it runs on, as root in a VM of the test bed, and writes one line of CSV for each
// figure to standard output. It changes the broker's policy and kills processes of
// the machine. "make bench" runs it and makes the report.
package main

import (
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// bench is one run of all measures.
type bench struct {
	ctx    context.Context
	rounds int
	most   int           // units in the measure of growth
	budget time.Duration // of the starts at one concurrency
	// concurrency is the most starts at once.
	concurrency int

	mu  sync.Mutex
	out *csv.Writer
}

// patience bounds each single thing that is waited for.
const patience = 3 * time.Minute

func main() {
	quick := flag.Bool("quick", false, "fewer rounds and units: shows that all of it works")
	only := flag.String("only", "machine,starts,lives,parts,views,podman,nomad,growth", "the measures, in this order")
	most := flag.Int("units", 1000, "at most so many in the measure of growth")
	rounds := flag.Int("rounds", 10, "how often each is measured")
	concurrency := flag.Int("concurrency", 64, "at most so many starts at once")
	flag.Parse()
	b := &bench{ctx: context.Background(), rounds: *rounds, concurrency: *concurrency, most: *most, budget: 10 * time.Minute, out: csv.NewWriter(os.Stdout)}
	if *quick {
		b.rounds, b.most, b.budget = 2, min(*most, 30), 20*time.Second
	}
	b.row("measure", "subject", "parameter", "round", "value", "unit")
	if err := b.run(strings.Split(*only, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(names []string) error {
	if err := prepare(); err != nil {
		return err
	}
	var failed []error
	measures := map[string]func() error{
		"machine": b.machine, "starts": b.starts, "lives": b.lives, "views": b.views,
		"growth": b.growth, "nomad": b.nomad, "podman": b.podman, "parts": b.parts,
	}
	for _, name := range names {
		measure, ok := measures[name]
		if !ok {
			return fmt.Errorf("there is no measure %q", name)
		}
		from := time.Now()
		if err := measure(); err != nil { // the others are worth having
			b.note("%s: %v", name, err)
			failed = append(failed, fmt.Errorf("%s failed", name))
		}
		b.note("%s took %.0f s", name, time.Since(from).Seconds())
	}
	return errors.Join(failed...)
}

// add writes one figure.
func (b *bench) add(measure, subject, parameter string, round int, value float64, unit string) {
	b.row(measure, subject, parameter, strconv.Itoa(round), strconv.FormatFloat(value, 'g', 7, 64), unit)
}

func (b *bench) seconds(measure, subject, parameter string, round int, d time.Duration) {
	b.add(measure, subject, parameter, round, d.Seconds(), "s")
}

func (b *bench) row(fields ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.out.Write(fields)
	b.out.Flush()
}

func (b *bench) note(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

// command runs a program of the machine.
func command(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

const (
	policyDir = "/etc/systemd-brokerd/policy.d"
	worker    = "/usr/libexec/bench/worker"
	sleep     = "/usr/bin/sleep"
	images    = "/srv/bench/images"
)

const policyText = `# SPDX-License-Identifier: MPL-2.0
version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 4000
}

rule "bench" {
  client      = "nomad"
  log_drivers = ["fds", "journal", "none"]
  rootfs      = ["minimal", "host", "image"]
  images      = ["/srv/bench/images"]
  sessions    = true

  exec {
    under = ["/usr/bin", "/usr/libexec/bench"]
  }

  run_as {
    dynamic_user = true
  }

  limits {
    memory_max = "1GiB"
    tasks_max  = 256
  }
}
`

// prepare gives the broker the benchmark's policy, and the tasks their program.
func prepare() error {
	if err := os.MkdirAll(filepath.Dir(worker), 0o755); err != nil {
		return err
	}
	if _, err := command("cp", "worker", worker); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(policyDir, "10-nomad.hcl"), []byte(policyText), 0o644); err != nil {
		return err
	}
	if _, err := command("systemctl", "restart", "systemd-brokerd"); err != nil {
		return err
	}
	_, err := command("install", "-d", "-o", "nomad", "-g", "nomad", "-m", "0711", allocRoot)
	return err
}

// machine says what the figures are of.
func (b *bench) machine() error {
	for what, script := range map[string]string{
		"kernel":  "uname -r",
		"systemd": "systemctl --version | sed -n '1s/systemd //p'",
		"distro":  ". /etc/os-release; echo $PRETTY_NAME",
		"cpu":     "sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1",
		"cpus":    "nproc",
		"memory":  "awk '/MemTotal/ {print int($2/1024) \" MiB\"}' /proc/meminfo",
		"nomad":   "nomad version | sed -n '1s/Nomad //p'",
		"broker":  "systemd-brokerd --version",
	} {
		text, err := command("sh", "-c", script)
		if err != nil {
			return err
		}
		b.row("machine", what, text, "0", "0", "")
	}
	return nil
}
