// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"google.golang.org/protobuf/encoding/protojson"

	"nomad-systemd-driver/driver"
)

// requests prints what the tasks of a job would ask systemd-brokerd for.
func requests(args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("nomad-systemd-driver requests", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, `Usage: nomad-systemd-driver requests [flags] [JOB.json]

Prints what each task of a job would ask systemd-brokerd for, one line of JSON
for each, to be explained by the policy. JOB.json, or standard input, is what
Nomad makes of a job file:

  nomad job run -output JOB.nomad.hcl | nomad-systemd-driver requests |
      systemd-brokerd policy explain

Nothing is started, and no agent is needed.

Flags:
`)
		flags.PrintDefaults()
	}
	allocDir := flags.String("alloc-dir", "/var/lib/nomad/alloc", "the agent's alloc_dir, alloc_root in the policy")
	if err := flags.Parse(args); err != nil {
		return err
	}
	job := stdin
	switch {
	case flags.NArg() > 1:
		return errors.New("one job at a time")
	case flags.NArg() == 1 && flags.Arg(0) != "-":
		f, err := os.Open(flags.Arg(0))
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // nothing was written
		job = f
	}
	all, err := driver.Plan(job, *allocDir)
	if err != nil {
		return err
	}
	for _, spec := range all {
		text, err := protojson.Marshal(spec)
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s\n", text)
	}
	return nil
}
