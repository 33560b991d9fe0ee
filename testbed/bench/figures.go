// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func median(all []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(all))
	if len(s) == 0 {
		return 0
	}
	return s[len(s)/2]
}

// processor is the processor time of a process so far, of all threads it has now.
func processor(pid int) time.Duration {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	var sum time.Duration
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		ns, _, _ := strings.Cut(string(text), " ")
		n, _ := strconv.ParseInt(ns, 10, 64)
		sum += time.Duration(n)
	}
	return sum
}

// switches is how often the threads of a process went to sleep so far.
func switches(pid int) (n float64) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, f := range files {
		v, _ := field(f, "voluntary_ctxt_switches:")
		n += v
	}
	return n
}

// field is the number after a word of a file.
func field(file, name string) (float64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			return strconv.ParseFloat(f[1], 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, name)
}

// rss is the resident memory of a process in KiB.
func rss(pid int) float64 {
	v, _ := field(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:")
	return v
}

// own is the memory in KiB that would be free without the process.
func own(pid int) float64 {
	file := fmt.Sprintf("/proc/%d/smaps_rollup", pid)
	clean, _ := field(file, "Private_Clean:")
	dirty, _ := field(file, "Private_Dirty:")
	return clean + dirty
}

func descriptors(pid int) float64 {
	all, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return float64(len(all))
}

func mainPID(service string) (int, error) {
	text, err := command("systemctl", "show", "--property=MainPID", "--value", service)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(text)
	if err == nil && pid == 0 {
		err = fmt.Errorf("%s does not run", service)
	}
	return pid, err
}

// descendants are a process and all that came of it.
func descendants(pid int) []int {
	children := make(map[int][]int)
	files, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, f := range files {
		parent, err := field(f, "PPid:")
		if err != nil {
			continue
		}
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		children[int(parent)] = append(children[int(parent)], child)
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// called are the processes whose program has the name.
func called(name string) (all []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && string(text) == name+"\n" {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			all = append(all, pid)
		}
	}
	return all
}

// consumption is the processor time so far, in seconds, of those who take part in a
// start, with the processes that ended, and of all the machine.
func consumption() map[string]float64 {
	all := map[string]float64{"PID 1": processor(1).Seconds()}
	for name, service := range map[string]string{"broker": "systemd-brokerd", "mounts": "systemd-brokerd-mounts", "journal": "systemd-journald", "udev": "systemd-udevd"} {
		if usec, err := field("/sys/fs/cgroup/system.slice/"+service+".service/cpu.stat", "usage_usec"); err == nil {
			all[name] = usec / 1e6
		}
	}
	text, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(text), "\n")
	var busy float64
	for i, f := range strings.Fields(line) {
		if i >= 1 && i != 4 && i != 5 && i <= 8 { // neither idle nor waiting for disks
			n, _ := strconv.ParseFloat(f, 64)
			busy += n / 100 // ticks, USER_HZ
		}
	}
	all["machine"] = busy
	return all
}
