// SPDX-License-Identifier: MPL-2.0

// Command worker is the task of the benchmarks. It waits; at each SIGUSR1 it writes
// 64 MiB of lines to its standard output and then leaves the nanoseconds that took
// in the file "flood" of the directory NOMAD_TASK_DIR. SIGTERM ends it.
package main

import (
	"bytes"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	total = 64 << 20
	line  = 128
	chunk = 64 << 10
)

func main() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	for range c {
		if err := flood(); err != nil {
			os.Exit(1)
		}
	}
}

func flood() error {
	block := bytes.Repeat(append(bytes.Repeat([]byte("x"), line-1), '\n'), chunk/line)
	from := time.Now()
	for range total / chunk {
		if _, err := os.Stdout.Write(block); err != nil {
			return err
		}
	}
	took := strconv.FormatInt(time.Since(from).Nanoseconds(), 10)
	file := filepath.Join(os.Getenv("NOMAD_TASK_DIR"), "flood")
	if err := os.WriteFile(file+".new", []byte(took), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
