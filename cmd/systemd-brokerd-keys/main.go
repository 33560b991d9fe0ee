// SPDX-License-Identifier: MPL-2.0

// Command systemd-brokerd-keys fetches the keys with which Nomad's servers sign the
// identities of tasks, and leaves them in a file for systemd-brokerd, which opens no
// network socket itself. It runs as a user of its own, without privileges, at the beat
// of a timer; the policy names that user as one who may write the file (keys_user).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// version is set by the linker (-X main.version=).
var version = "0.0.0-dev"

const about = `Usage: systemd-brokerd-keys --server https://ADDRESS:4646 --ca FILE [flags]

Fetches the keys with which Nomad's servers sign the identities of tasks
(/.well-known/jwks.json), and puts them into a file for systemd-brokerd. Of several
servers the first that answers is taken. Nothing is written unless a server proves
with a certificate of that CA that it is one.

Flags:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "systemd-brokerd-keys:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("systemd-brokerd-keys", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(os.Stderr, about)
		flags.PrintDefaults()
	}
	s := source{}
	flags.Func("server", "`address` of a server, https:// and no path; more than once if need be", func(v string) error {
		s.servers = append(s.servers, v)
		return nil
	})
	flags.StringVar(&s.ca, "ca", "", "`file` with the only certificates that are trusted (PEM)")
	flags.StringVar(&s.name, "name", "server.global.nomad", "what a server's certificate must be for; the region is in it")
	flags.StringVar(&s.cert, "cert", "", "`file` with a certificate for the servers, if they ask for one (verify_https_client)")
	flags.StringVar(&s.key, "key", "", "`file` with its key")
	out := flags.String("out", "/var/lib/systemd-brokerd-keys/jwks.json", "the file of keys")
	timeout := flags.Duration("timeout", 20*time.Second, "how long one server may take")
	showVersion := flags.Bool("version", false, "print the version")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *showVersion {
		fmt.Println("systemd-brokerd-keys", version)
		return nil
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	text, n, err := s.fetch(ctx, *timeout)
	if err != nil {
		return err
	}
	if err := replace(*out, text); err != nil {
		return err
	}
	fmt.Printf("%d keys in %s\n", n, *out)
	return nil
}
