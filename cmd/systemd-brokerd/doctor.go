// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/doctor"
	"nomad-systemd-driver/broker/mounts"
)

const doctorAbout = `Usage: systemd-brokerd doctor [flags]

Checks this host step by step: systemd, kernel, control groups, policy, sockets,
broker, agent and driver, and says how to mend what is wrong. Changes nothing. Exit
status 1 if anything must be mended.`

// diagnose is the command "doctor".
func diagnose(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := newFlags("systemd-brokerd doctor", doctorAbout, stderr)
	dir := flags.String("policy", defaultPolicyDir, "directory with the policy's *.hcl files")
	asJSON := flags.Bool("json", false, "print JSON")
	if err := parse(flags, args); err != nil {
		return err
	}
	h := &doctor.Host{Kernel: kernelRelease(), Mappable: mounts.Mappable}
	if h.Policy, h.PolicyError = loadPolicy(*dir); h.PolicyError == nil {
		h.InForce = inForceText(h.Policy.SHA256())
	}
	names, err := hostUsers()
	if err != nil {
		return err
	}
	h.Users = names
	if pid1, err := lookAtPID1(ctx); err == nil {
		defer pid1.Close() //nolint:errcheck // nothing was changed
		h.Systemd = pid1
	}
	findings := doctor.Examine(ctx, h)
	if *asJSON {
		encoder := json.NewEncoder(stdout)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(findings)
	} else {
		err = printFindings(stdout, findings)
	}
	if err != nil {
		return err
	}
	worst := 0
	for _, f := range findings {
		if f.Result == doctor.Bad {
			worst++
		}
	}
	if worst > 0 {
		return fmt.Errorf("%d of %d checks found something that must be mended", worst, len(findings))
	}
	return nil
}

func printFindings(stdout io.Writer, findings []doctor.Finding) error {
	for _, f := range findings {
		if _, err := fmt.Fprintf(stdout, "%-8s %s: %s\n", f.Result, f.Check, f.Detail); err != nil {
			return err
		}
		if f.Mend != "" {
			if _, err := fmt.Fprintf(stdout, "%-8s   %s\n", "", "→ "+f.Mend); err != nil {
				return err
			}
		}
	}
	return nil
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
