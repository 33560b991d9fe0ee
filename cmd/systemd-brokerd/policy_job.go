// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/program"
)

// plugin is where its package puts it. No other place is looked at: root runs it.
const plugin = "/usr/libexec/nomad/plugins/nomad-systemd-driver"

// jobError is a job where requests are asked for. What it asks for the plugin must say,
// for this program links nothing of Nomad, and starts no other.
type jobError struct {
	path string
	text []byte // nil if it was not read
}

func (e *jobError) Error() string {
	return fmt.Sprintf("%s is a job; make requests of it with: nomad-systemd-driver requests %s", e.path, e.path)
}

// isJobFile goes by the name: job files are not in JSON.
func isJobFile(path string) bool {
	return slices.Contains([]string{".hcl", ".nomad"}, filepath.Ext(path))
}

// pluginError asks for the plugin in the place of this program.
type pluginError struct {
	job  *jobError
	args []string // of the plugin
}

func (e *pluginError) Error() string { return e.job.Error() }

// explainJob has the plugin make requests of the job and call this program again for
// them, with the same flags.
func explainJob(job *jobError, c *policy.Client, flags *flag.FlagSet) error {
	self, err := os.Executable()
	if err != nil {
		return mistake(err)
	}
	path := job.path
	if job.text != nil {
		path = "-"
	}
	args := []string{filepath.Base(plugin), "requests", "--alloc-dir=" + c.AllocRoot, "--", path, "--", self, "policy", "explain"}
	flags.Visit(func(f *flag.Flag) { args = append(args, "--"+f.Name+"="+f.Value.String()) })
	return &pluginError{job, args}
}

// orPlugin replaces this program by the plugin where a tool asks for it: there is then no
// child of this program, and nothing of it is left that could be attacked. It returns if
// the plugin is not there, or others than root could change it.
func orPlugin(err error) error {
	e, ok := errors.AsType[*pluginError](err)
	if !ok {
		return err
	}
	err = checkPlugin(new(program.Host))
	if err == nil && e.job.text != nil {
		err = toStdin(e.job.text)
	}
	if err == nil {
		err = unix.Exec(plugin, e.args, os.Environ()) //nolint:forbidigo // the tool ends here; the daemon has no way to it
	}
	return mistake(fmt.Errorf("%w | systemd-brokerd policy explain; that cannot be done for you: %w", e.job, err))
}

func checkPlugin(host *program.Host) error {
	at, err := host.Changeable(plugin)
	if err == nil && at != "" {
		err = fmt.Errorf("%s can be changed by others than root", at)
	}
	return err
}

// toStdin makes text what the next program reads: standard input has been read.
func toStdin(text []byte) error {
	fd, err := unix.MemfdCreate("job", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "job")
	defer f.Close() //nolint:errcheck // its copy stays
	if _, err := f.Write(text); err != nil {
		return err
	}
	if _, err := f.Seek(0, 0); err != nil {
		return err
	}
	return unix.Dup3(fd, 0, 0)
}
