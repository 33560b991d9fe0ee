// SPDX-License-Identifier: MPL-2.0

// Command nomad-systemd-driver is the Nomad task driver plugin "systemd". The
// Nomad agent starts it from its plugin_dir.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/plugins"

	"nomad-systemd-driver/driver"
)

const usage = `nomad-systemd-driver %s is a task driver plugin of the Nomad agent, which starts it.

Put it into the agent's plugin_dir and add to the agent's configuration:

  plugin "nomad-systemd-driver" {
    config {
      broker_socket = "/run/systemd-brokerd/broker.sock"
      fd_socket     = "/run/systemd-brokerd/fds.sock"
    }
  }

For people it has two commands:

  nomad-systemd-driver migrate [--json] [FILE…]

reads jobs in JSON, as "nomad job inspect" and "nomad job run -output" print them,
from files or standard input, and says what of them works with this driver, what
must be changed, what a rule of the policy must allow, and what cannot be done. Exit
status 1 if something cannot be done, 2 if a file is not a job.

  nomad-systemd-driver requests --help

tells what a job asks for; "systemd-brokerd policy explain JOB.nomad.hcl" what a policy
makes of it.
`

// garbage is how much of it there may be, in percent of the memory in use: half of what
// Go has, as what a task takes here is there a thousand times, and there is little to
// collect. The agent's GOGC goes before.
const garbage = 50

func main() {
	if len(os.Args) > 1 && os.Args[1] == "requests" {
		var status statusError
		switch err := requests(os.Args[2:], os.Stdin, os.Stdout, os.Stderr); {
		case err == nil, errors.Is(err, flag.ErrHelp):
		case errors.As(err, &status):
			os.Exit(int(status))
		default:
			fmt.Fprintln(os.Stderr, "nomad-systemd-driver:", err)
			os.Exit(2)
		}
		return
	}
	if len(os.Args) > 1 {
		os.Exit(command(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	plugins.ServeCtx(func(ctx context.Context, log hclog.Logger) any { return driver.New(ctx, log) })
}

func help() string { return fmt.Sprintf(usage, driver.Version) }
