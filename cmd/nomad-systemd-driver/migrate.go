// SPDX-License-Identifier: MPL-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"nomad-systemd-driver/driver/migrate"
)

// command is what the program does for people.
func command(args []string, stdin io.Reader, stdout, stderr io.Writer) (status int) {
	if args[0] != "migrate" {
		fmt.Fprint(stdout, help())
		return 0
	}
	asJSON := false
	var files []string
	for _, a := range args[1:] {
		switch a {
		case "--json", "-json":
			asJSON = true
		case "--help", "-help", "-h":
			fmt.Fprint(stdout, help())
			return 0
		default:
			files = append(files, a)
		}
	}
	if len(files) == 0 {
		files = []string{"-"}
	}
	for _, name := range files {
		text, err := input(name, stdin)
		var report *migrate.Report
		if err == nil {
			report, err = migrate.Read(text)
		}
		if err != nil {
			fmt.Fprintf(stderr, "nomad-systemd-driver: %s: %v\n", name, err)
			return 2
		}
		if !report.Supported() {
			status = 1
		}
		if err := show(stdout, report, asJSON); err != nil {
			fmt.Fprintln(stderr, "nomad-systemd-driver:", err)
			return 2
		}
	}
	return status
}

func input(name string, stdin io.Reader) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(name) //nolint:gosec // G703: the file that the user names
}

func show(stdout io.Writer, r *migrate.Report, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(stdout)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(r)
	}
	verdict := "can run"
	if !r.Supported() {
		verdict = "cannot run as it is"
	}
	if _, err := fmt.Fprintf(stdout, "job %s: %s\n", r.Job, verdict); err != nil {
		return err
	}
	for _, f := range r.Findings {
		where := f.Group
		if f.Task != "" {
			where += "/" + f.Task
		}
		if _, err := fmt.Fprintf(stdout, "  %-11s  %s: %s\n", f.Level, where, f.Text); err != nil {
			return err
		}
	}
	if r.Policy == "" {
		return nil
	}
	_, err := fmt.Fprintf(stdout, "\nA draft of what the policy must allow; narrow it, and try it with systemd-brokerd policy check:\n\n%s\n", r.Policy)
	return err
}
