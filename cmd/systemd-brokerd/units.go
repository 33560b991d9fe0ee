// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/inspect"
	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/cgroup"
)

const unitsAbout = `Usage: systemd-brokerd units [flags]

Lists the units of all clients: whose they are, as which user they run, what they
use. CPU is the time used since the start; with --watch percent of one processor.`

// units lists the units of all clients.
func units(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := newFlags("systemd-brokerd units", unitsAbout, stderr)
	watch := flags.Bool("watch", false, "list them again and again, until interrupted")
	interval := flags.Duration("interval", 2*time.Second, "with --watch: how often")
	asJSON := flags.Bool("json", false, "print JSON; with --watch a line for each time")
	if err := parse(flags, args); err != nil {
		return err
	}
	if *interval < 100*time.Millisecond {
		return errors.New("--interval must be 100ms at least")
	}
	pid1, err := lookAtPID1(ctx)
	if err != nil {
		return err
	}
	defer pid1.Close() //nolint:errcheck // nothing was changed
	tick := time.NewTicker(*interval)
	defer tick.Stop()
	var before []inspect.Unit
	for {
		now, err := inspect.Units(ctx, pid1, cgroup.Default)
		if err != nil {
			return err
		}
		if err := showUnits(stdout, now, before, *asJSON, *watch); err != nil || !*watch {
			return err
		}
		before = now
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// lookAtPID1 connects to systemd for reading. Other users than root do so through
// the system bus.
func lookAtPID1(ctx context.Context) (*systemd.Conn, error) {
	// Signals of PID 1 are of no interest.
	return systemd.Dial(ctx, systemd.Options{Watch: func(string) bool { return false }})
}

// clearScreen moves to the top left and erases what is below.
const clearScreen = "\x1b[H\x1b[J"

func showUnits(stdout io.Writer, now, before []inspect.Unit, asJSON, watch bool) error {
	if asJSON {
		encoder := json.NewEncoder(stdout)
		encoder.SetEscapeHTML(false)
		if !watch {
			encoder.SetIndent("", "  ")
		}
		return encoder.Encode(now)
	}
	var text strings.Builder
	clears := watch && takesEscapes(stdout)
	if clears {
		text.WriteString(clearScreen)
	}
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CLIENT\tJOB\tTASK\tUID\tSTATE\tCPU\tMEMORY\tTASKS\tUNIT") //nolint:errcheck // strings.Builder cannot fail
	earlier := make(map[string]*inspect.Usage, len(before))
	for _, u := range before {
		earlier[u.Name] = u.Usage
	}
	for i := range now {
		writeUnit(table, &now[i], earlier[now[i].Name])
	}
	_ = table.Flush()
	if len(now) == 0 {
		text.WriteString("(there are no units)\n")
	}
	if watch && !clears {
		text.WriteByte('\n') // between this table and the next
	}
	_, err := io.WriteString(stdout, text.String())
	return err
}

func writeUnit(w io.Writer, u *inspect.Unit, before *inspect.Usage) {
	task := u.Labels["TASK_NAME"]
	if u.SessionOf != "" {
		task += " (session)"
	}
	uid, cpu, memory, tasks := "-", "-", "-", "-"
	if u.UID != nil {
		uid = fmt.Sprint(*u.UID)
	}
	if used := u.Usage; used != nil {
		cpu = cpuText(used, before)
		if used.MemoryBytes != nil {
			memory = bytesText(*used.MemoryBytes)
		}
		if used.Tasks != nil {
			tasks = fmt.Sprint(*used.Tasks)
		}
	}
	_, _ = fmt.Fprintln(w, strings.Join([]string{
		u.Client, orDash(u.Labels["JOB_ID"]), orDash(task), uid, stateText(u), cpu, memory, tasks, u.Name,
	}, "\t"))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// stateText is the state, and how the program ended.
func stateText(u *inspect.Unit) string {
	switch e := u.Exit; {
	case e == nil:
		return u.State
	case e.OOM:
		return "killed (out of memory)"
	case e.Signal != 0:
		return "killed by " + unix.SignalName(unix.Signal(e.Signal))
	case e.Code == 0 && e.Result != "success":
		return u.State + " (" + e.Result + ")"
	default:
		return fmt.Sprintf("%s %d", u.State, e.Code)
	}
}

// cpuText is the time used, or the share of one processor since before.
func cpuText(now, before *inspect.Usage) string {
	switch {
	case now.CPUSeconds == nil:
		return "-"
	case before == nil || before.CPUSeconds == nil || *now.CPUSeconds < *before.CPUSeconds:
		return fmt.Sprintf("%.1fs", *now.CPUSeconds)
	}
	passed := now.At.Sub(before.At).Seconds()
	if passed <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*(*now.CPUSeconds-*before.CPUSeconds)/passed)
}

func bytesText(n uint64) string {
	const unit = 1024
	value, names := float64(n), "KMGT"
	if n < unit {
		return fmt.Sprintf("%dB", n)
	}
	i := -1
	for ; value >= unit && i < len(names)-1; i++ {
		value /= unit
	}
	return fmt.Sprintf("%.1f%ciB", value, names[i])
}
