// SPDX-License-Identifier: MPL-2.0

// Command hello is the program that the example jobs and the end-to-end tests
// run as a task. It tells who it is, serves, fails, and misbehaves on request.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const usage = `hello is a small program to run as a task.

Usage: hello [COMMAND] [ARGUMENT...]

  (none)           print who the task is and how it is confined
  serve            answer HTTP on $NOMAD_PORT_http (or 8080), count the seconds,
                   end in good order on SIGTERM
  tick             print one numbered line a second until SIGTERM
  lines N          print N numbered lines and end
  count RATE       number RATE lines a second on stdout and on stderr until
                   SIGTERM, and 20000 at once on SIGHUP
  noise N          print N bytes without a line end, and to stderr a line of N letters
  args ARG...      print each argument, quoted, on a line
  env [NAME...]    print variables, quoted; all without a name
  cat FILE         print a file
  exit N           end with exit code N
  signal NUMBER    end by sending itself the signal
  eat MIB          take MIB of memory and keep it
  ignore-term      ignore SIGTERM and wait
  signals          print each signal that arrives; end on SIGTERM
  uring            ask the kernel for an io_uring, which no filter of system calls sees
  orphan           leave a process behind that ignores SIGTERM, and end
  orphan-wait      do the same, but wait until SIGTERM
`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return who()
	}
	command, ok := map[string]func([]string) error{
		"serve":       func([]string) error { return serve() },
		"tick":        func([]string) error { return tick() },
		"lines":       lines,
		"count":       count,
		"noise":       noise,
		"args":        quoteAll,
		"env":         printEnv,
		"cat":         cat,
		"exit":        func(a []string) error { n, err := number(a); os.Exit(code(n, err)); return nil },
		"signal":      raise,
		"eat":         eat,
		"ignore-term": func([]string) error { return ignoreTerm() },
		"signals":     func([]string) error { return printSignals() },
		"uring":       func([]string) error { return uring() },
		"orphan":      func([]string) error { return orphan() },
		"orphan-wait": func([]string) error { return errors.Join(orphan(), untilTerm()) },
	}[args[0]]
	if !ok {
		fmt.Print(usage)
		if args[0] == "--help" || args[0] == "-h" {
			return nil
		}
		return fmt.Errorf("unknown command %q", args[0])
	}
	return command(args[1:])
}

// uring fails unless the kernel gives it an io_uring with one entry.
func uring() error {
	const setup = 425 // io_uring_setup(2), on all architectures
	var params [120]byte
	if _, _, errno := syscall.Syscall(setup, 1, uintptr(unsafe.Pointer(&params)), 0); errno != 0 { //nolint:gosec // G103: what the kernel wants
		return fmt.Errorf("io_uring_setup: %w", errno)
	}
	return nil
}

func cat(files []string) error {
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // that is what it is for
		if err != nil {
			return err
		}
		if _, err := os.Stdout.Write(text); err != nil {
			return err
		}
	}
	return nil
}

func code(n int, err error) int {
	if err != nil {
		return 2
	}
	return n
}

func number(args []string) (int, error) {
	if len(args) != 1 {
		return 0, errors.New("one number is expected")
	}
	return strconv.Atoi(args[0])
}

// who prints what a task can find out about itself.
func who() error {
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	fmt.Printf("hello from task %s of job %s\n", os.Getenv("NOMAD_TASK_NAME"), os.Getenv("NOMAD_JOB_NAME"))
	fmt.Printf("uid=%d gid=%d cwd=%s\n", os.Getuid(), os.Getgid(), wd)
	if cgroup, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		fmt.Printf("cgroup=%s", cgroup)
	}
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	for s := bufio.NewScanner(f); s.Scan(); {
		for _, key := range []string{"CapEff:", "CapBnd:", "NoNewPrivs:", "Seccomp:"} {
			if strings.HasPrefix(s.Text(), key) {
				fmt.Println(strings.ReplaceAll(s.Text(), "\t", " "))
			}
		}
	}
	entries, err := filepath.Glob("/*")
	fmt.Println("root:", strings.Join(entries, " "))
	return err
}

func term() <-chan os.Signal {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGTERM, syscall.SIGINT)
	return ch
}

func untilTerm() error {
	fmt.Println("waiting")
	fmt.Println("got", <-term())
	return nil
}

func tick() error {
	stop, second := term(), time.NewTicker(time.Second)
	for n := 1; ; n++ {
		fmt.Println("tick", n)
		select {
		case <-second.C:
		case s := <-stop:
			fmt.Println("stopping on", s)
			return nil
		}
	}
}

func serve() error {
	port := os.Getenv("NOMAD_PORT_http")
	if port == "" {
		port = "8080"
	}
	server := &http.Server{
		Addr:              "127.0.0.1:" + port,
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, "hello from %s\n", os.Getenv("NOMAD_ALLOC_ID"))
		}),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	go func() { failed <- tick() }()
	err := <-failed
	return errors.Join(err, server.Close())
}

func lines(args []string) error {
	n, err := number(args)
	out := bufio.NewWriter(os.Stdout)
	for i := 1; i <= n; i++ {
		_, _ = fmt.Fprintln(out, "line", i)
	}
	return errors.Join(err, out.Flush())
}

func quoteAll(args []string) error {
	for _, a := range args {
		fmt.Printf("%q\n", a)
	}
	return nil
}

func printEnv(names []string) error {
	if len(names) == 0 {
		for _, kv := range os.Environ() {
			name, _, _ := strings.Cut(kv, "=")
			names = append(names, name)
		}
		sort.Strings(names)
	}
	for _, name := range names {
		fmt.Printf("%s=%q\n", name, os.Getenv(name))
	}
	return nil
}

func raise(args []string) error {
	n, err := number(args)
	if err != nil {
		return err
	}
	if err := syscall.Kill(os.Getpid(), syscall.Signal(n)); err != nil {
		return err
	}
	return forever()
}

// forever waits without end. A bare select would not do: the Go runtime ends a
// program all of whose goroutines wait for each other.
func forever() error {
	for {
		_ = syscall.Pause()
	}
}

func eat(args []string) error {
	n, err := number(args)
	if err != nil {
		return err
	}
	var kept [][]byte
	for range n {
		block := make([]byte, 1<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		kept = append(kept, block)
	}
	fmt.Println("ate", len(kept), "MiB")
	return untilTerm()
}

func ignoreTerm() error {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT)
	fmt.Println("ignoring SIGTERM")
	return forever()
}

func printSignals() error {
	ch := make(chan os.Signal, 16)
	signal.Notify(ch)
	fmt.Println("listening")
	for s := range ch {
		if s == syscall.SIGURG {
			continue // the Go runtime's own
		}
		fmt.Println("signal", s)
		if s == syscall.SIGTERM {
			break
		}
	}
	return nil
}

// orphan leaves a process of its own session behind.
func orphan() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "ignore-term") //nolint:gosec // its own program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	fmt.Println("orphan", cmd.Process.Pid)
	return cmd.Process.Release()
}
