// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"io"
	"slices"

	"nomad-systemd-driver/broker/policy"
)

// profiles lists the profiles of this host, or prints one.
func profiles(args []string, stdout, stderr io.Writer) error {
	flags := newFlags("systemd-brokerd profiles", `Usage: systemd-brokerd profiles [flags] [NAME]

Lists the profiles that rules of the policy can name, or prints one as a file to
start an own one from: systemd-brokerd profiles strict >/etc/systemd-brokerd/profiles/mine.conf`, stderr)
	dir := flags.String("policy", defaultPolicyDir, "directory with the policy's *.hcl files; own profiles lie in profiles/ beside it")
	if err := flags.Parse(args); err != nil {
		return usageError(err)
	}
	if flags.NArg() > 1 {
		flags.Usage()
		return errUsage
	}
	own, err := ownProfiles(*dir)
	if err != nil {
		return err
	}
	all, err := policy.Profiles(own)
	if err != nil {
		return err
	}
	if name := flags.Arg(0); name != "" {
		p := all[name]
		if p == nil {
			return fmt.Errorf("there is no profile %q; systemd-brokerd profiles lists all", name)
		}
		fmt.Fprint(stdout, p.Text)
		return nil
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(stdout, "%s\t%d directives\n", name, len(all[name].Directives))
	}
	return nil
}
