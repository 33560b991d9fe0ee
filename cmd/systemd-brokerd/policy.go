// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"nomad-systemd-driver/broker"
	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/program"
	"nomad-systemd-driver/broker/users"
)

const (
	defaultPolicyDir = "/etc/systemd-brokerd/policy.d"
	// profileDir is beside the policy's directory; it need not be there.
	profileDir = "profiles"
)

const checkAbout = `Loads the policy as the daemon would and reports its mistakes, and rules that allow
more or less than they seem to. Changes nothing.

Exit status: 0 the policy can be loaded, 1 it has mistakes, or warnings with --strict.`

func policyCheck(args []string, _ io.Reader, stdout, stderr io.Writer) error {
	flags := newFlags("systemd-brokerd policy check", checkAbout, stderr)
	dir := flags.String("policy", defaultPolicyDir, "directory with the policy's *.hcl files")
	strict := flags.Bool("strict", false, "fail on warnings, too")
	asJSON := flags.Bool("json", false, "print JSON")
	var host hostFiles
	host.flags(flags)
	if err := parse(flags, args); err != nil {
		return err
	}
	load := loadPolicy
	if host.elsewhere() || host.group != "" {
		load = host.read
	}
	p, err := load(*dir)
	if *asJSON {
		report := newCheckReport(p, err, &host)
		if jerr := encodeJSON(stdout, report); jerr != nil {
			return jerr
		}
		if err != nil || *strict && len(report.Warnings) > 0 {
			return errDenied
		}
		return nil
	}
	if err != nil {
		return err
	}
	paint := newPainter(stdout)
	fmt.Fprintf(stdout, "%s: %s, sha256 %s\n", *dir, paint.good("good"), p.SHA256())
	warnings := warningsOf(p, &host)
	for _, w := range warnings {
		place := ""
		if w.File != "" {
			place = fmt.Sprintf("%s:%d: ", w.File, w.Line)
		}
		fmt.Fprintf(stdout, "%s%s %s: %s\n", place, paint.warn("warning:"), w.Block, w.Text)
	}
	if *strict && len(warnings) > 0 {
		return errDenied
	}
	return nil
}

// checkReport is what is said of a policy in JSON.
type checkReport struct {
	SHA256   string        `json:"sha256,omitempty"`
	Mistake  *mistakeJSON  `json:"mistake,omitempty"`
	Warnings []warningJSON `json:"warnings"`
}

type mistakeJSON struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Problem string `json:"problem"`
}

type warningJSON struct {
	Block string `json:"block"`
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
	Text  string `json:"text"`
}

func newCheckReport(p *policy.Policy, err error, host *hostFiles) *checkReport {
	report := &checkReport{Warnings: []warningJSON{}}
	if err != nil {
		report.Mistake = newMistake(err)
		return report
	}
	report.SHA256 = p.SHA256()
	for _, w := range warningsOf(p, host) {
		report.Warnings = append(report.Warnings, warningJSON{w.Block, w.File, w.Line, w.Text})
	}
	return report
}

func newMistake(err error) *mistakeJSON {
	if e, ok := errors.AsType[*policy.LoadError](err); ok {
		return &mistakeJSON{e.File, e.Line, e.Column, e.Problem}
	}
	return &mistakeJSON{Problem: err.Error()}
}

// warningsOf are those of the policy, and of what it says of this host, unless it is for
// another.
func warningsOf(p *policy.Policy, host *hostFiles) []policy.Warning {
	if host.elsewhere() {
		return p.Lint(policy.AnyHost())
	}
	all := p.Lint(lintHost())
	for _, c := range p.Clients() {
		if c.Identity == nil || !exists(c.Identity.File) {
			continue // Lint tells
		}
		if err := broker.CheckKeys(c.Identity); err != nil {
			all = append(all, policy.Warning{Block: fmt.Sprintf("client %q", c.Name), Text: "the servers' keys cannot be used: " + err.Error()})
		}
	}
	return all
}

// loadPolicy reads the policy in dir, if it is root's alone.
func loadPolicy(dir string) (*policy.Policy, error) {
	if err := checkTrust(new(program.Host), dir); err != nil {
		return nil, err
	}
	names, err := hostUsers()
	if err != nil {
		return nil, err
	}
	return readPolicy(dir, names, "", "")
}

// readPolicy does not ask who can write to the files. It reads one more file, unless
// its name is empty.
func readPolicy(dir string, names policy.Resolver, more, text string) (*policy.Policy, error) {
	var profiles fs.FS
	if own := profilesOf(dir); isDir(own) {
		profiles = os.DirFS(own)
	}
	return policy.LoadWith(os.DirFS(dir), names, profiles, more, []byte(text))
}

// ownProfiles are the operator's, in the directory beside that of the policy; nil
// if it is not there.
func ownProfiles(policyDir string) (fs.FS, error) {
	dir := profilesOf(policyDir)
	err := checkOwners(new(program.Host), dir, ".conf")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return os.DirFS(dir), err
}

func profilesOf(policyDir string) string {
	return filepath.Join(filepath.Dir(filepath.Clean(policyDir)), profileDir)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// hostUsers are the users and groups of this host, as of now.
func hostUsers() (*users.Users, error) { return users.Read("/etc/passwd", "/etc/group") }
