// SPDX-License-Identifier: MPL-2.0

// Command systemd-brokerd starts programs for unprivileged clients, such as the
// Nomad task driver nomad-systemd-driver, as transient systemd services, within
// what the operator's policy allows.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

// version is set by the linker (-X main.version=).
var version = "0.0.0-dev"

const usage = `systemd-brokerd starts programs for unprivileged clients (a Nomad agent's task
driver) as transient systemd services, within what the operator's policy allows.

Usage:
  systemd-brokerd serve [flags]          run the daemon
  systemd-brokerd mounts [flags]         mount for the daemon, in PID 1's namespace
  systemd-brokerd open UID DIRECTORY…    open a user's directories to others
  systemd-brokerd status [flags]         is the broker well, and who uses it
  systemd-brokerd units [flags]          list the units of all clients
  systemd-brokerd doctor [flags]         check this host, and say how to mend it
  systemd-brokerd policy check [flags]   load the policy and report its mistakes
  systemd-brokerd policy explain [FILE]  what each rule makes of requests
  systemd-brokerd policy test [flags]    run the tests beside the policy
  systemd-brokerd policy suggest         rules for what the journal says was denied
  systemd-brokerd policy diff OLD NEW    what another policy answers otherwise
  systemd-brokerd policy init            a policy to start from
  systemd-brokerd reconcile [flags]      list, or end, units the policy would refuse
  systemd-brokerd directives [NAME]      list what is known of systemd's directives
  systemd-brokerd profiles [NAME]        list the profiles, or print one
  systemd-brokerd version                print the version
  systemd-brokerd COMMAND --help         explain a command and its flags

The daemon is normally started by systemd-brokerd.socket and reads its policy
from /etc/systemd-brokerd/policy.d/*.hcl. Its log, with a record of every
decision, is in the journal: journalctl -u systemd-brokerd.

Exit status: 0 success, 1 failure, 2 wrong usage. The policy tools: 0 all is as it
should be, 1 something is denied or not so, 2 it could not be found out.
`

// errUsage is a command line that was explained to the user already.
var errUsage = errors.New("usage")

func main() {
	switch err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	case errors.Is(err, errDenied):
		os.Exit(1) // the output says it all
	default:
		fmt.Fprintln(os.Stderr, "systemd-brokerd:", err)
		if _, ok := errors.AsType[mistakeError](err); ok {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch command {
	case "serve":
		return serve(ctx, args, stderr)
	case "open":
		return openDirectories(args, stderr)
	case "mounts":
		return serveMounts(ctx, args, stderr)
	case "status":
		return status(ctx, args, stdout, stderr)
	case "units":
		return units(ctx, args, stdout, stderr)
	case "doctor":
		return diagnose(ctx, args, stdout, stderr)
	case "policy":
		if len(args) > 0 {
			if run, ok := policyTools[args[0]]; ok {
				return orJSON(args[1:], stdout, orPlugin(run(args[1:], os.Stdin, stdout, stderr)))
			}
		}
	case "reconcile":
		return reconcile(ctx, args, stdout, stderr)
	case "directives":
		return listDirectives(args, stdout, stderr)
	case "profiles":
		return profiles(args, stdout, stderr)
	case "version", "--version":
		fmt.Fprintln(stdout, "systemd-brokerd", version)
		return nil
	case "help", "--help", "-h":
		fmt.Fprint(stdout, usage)
		return nil
	}
	fmt.Fprint(stderr, usage)
	return errUsage
}

// newFlags makes the flag set of one command, whose help starts with about.
func newFlags(name, about string, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, "%s\n\nFlags:\n", about)
		flags.PrintDefaults()
	}
	return flags
}

// parse reads the flags of a command that takes no other arguments.
func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return usageError(err)
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(flags.Output(), "%s: unexpected argument %q\n", flags.Name(), flags.Arg(0))
		flags.Usage()
		return errUsage
	}
	return nil
}

// usageError: the flag set has explained a mistake to the user already.
func usageError(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	return errUsage
}
