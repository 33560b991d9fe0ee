// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"nomad-systemd-driver/driver"
)

const requestsAbout = `Usage: nomad-systemd-driver requests [flags] [JOB [-- COMMAND…]]

Prints what each task of a job would ask systemd-brokerd for, one line of JSON
for each, to be explained by the policy:

  nomad-systemd-driver requests JOB.nomad.hcl | systemd-brokerd policy explain

JOB, or standard input, is a job file, or what "nomad job run -output" prints. A
job file is read by Nomad's own program, which must be there for it. Nothing is
started, and no agent is needed. With a COMMAND it gets the lines as its standard input,
and its exit status is that of this one.

Flags:
`

// requests prints what the tasks of a job would ask systemd-brokerd for.
func requests(args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("nomad-systemd-driver requests", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, requestsAbout)
		flags.PrintDefaults()
	}
	agent := driver.DefaultAgent
	flags.StringVar(&agent.AllocDir, "alloc-dir", agent.AllocDir, "the agent's alloc_dir, alloc_root in the policy")
	flags.StringVar(&agent.Identity, "identity", agent.Identity, "identity in the driver's plugin block")
	nomad := nomadCommand{}
	flags.StringVar(&nomad.program, "nomad", "nomad", "Nomad's `program`, for job files")
	nomad.flag(flags, "var", "`NAME=VALUE` for a job file, more than once if need be")
	nomad.flag(flags, "var-file", "`file` of variables for a job file, more than once if need be")
	if err := flags.Parse(args); err != nil {
		return err
	}
	path, command := flags.Arg(0), []string(nil)
	if flags.NArg() > 2 && flags.Arg(1) == "--" {
		command = flags.Args()[2:]
	} else if flags.NArg() > 1 {
		return errors.New("one job at a time")
	}
	job, err := nomad.job(path, stdin, stderr)
	if err != nil {
		return err
	}
	all, err := driver.Plan(bytes.NewReader(job), agent)
	if err != nil {
		return err
	}
	var lines bytes.Buffer
	for _, spec := range all {
		text, err := protojson.Marshal(spec)
		if err != nil {
			return err
		}
		fmt.Fprintf(&lines, "%s\n", text)
	}
	if command != nil {
		return give(&lines, command, stdout, stderr)
	}
	_, err = lines.WriteTo(stdout)
	return err
}

// statusError is the exit status of a command that has said all itself.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// give runs the command on the lines.
func give(lines io.Reader, command []string, stdout, stderr io.Writer) error {
	cmd := exec.Command(command[0], command[1:]...) //nolint:gosec,noctx // G204: what the user, or systemd-brokerd for him, names
	cmd.Stdin, cmd.Stdout, cmd.Stderr = lines, stdout, stderr
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return statusError(exit.ExitCode())
	}
	return err
}

// nomadCommand turns job files into JSON. Nomad's parser is not linked: it is bound to
// another version of the HCL library than the one that reads policies, and would not
// be the one that the agent's own command has.
type nomadCommand struct {
	program string
	args    []string
}

func (n *nomadCommand) flag(flags *flag.FlagSet, name, usage string) {
	flags.Func(name, usage, func(v string) error {
		n.args = append(n.args, "-"+name, v)
		return nil
	})
}

// job is the job in JSON.
func (n *nomadCommand) job(path string, stdin io.Reader, stderr io.Writer) ([]byte, error) {
	var text []byte
	var err error
	if path == "" || path == "-" {
		path = "-"
		text, err = io.ReadAll(stdin)
	} else {
		text, err = os.ReadFile(path)
	}
	if err != nil || bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return text, err
	}
	args := append([]string{"job", "run", "-output"}, n.args...)
	cmd := exec.Command(n.program, append(args, path)...) //nolint:gosec,noctx // G204: the program that the user names
	cmd.Stdin, cmd.Stderr = bytes.NewReader(text), stderr
	out, err := cmd.Output()
	switch _, ended := errors.AsType[*exec.ExitError](err); {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("a job file takes Nomad's program to read, and %q is not there (--nomad); or give me what %q prints elsewhere", n.program, "nomad job run -output")
	case ended:
		return nil, fmt.Errorf("%s %s: %w", n.program, strings.Join(cmd.Args[1:], " "), err)
	case err != nil:
		return nil, err
	}
	return out, nil
}
