// SPDX-License-Identifier: MPL-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"nomad-systemd-driver/broker/policy"
)

const suggestAbout = `Usage: journalctl -u systemd-brokerd -o json | systemd-brokerd policy suggest [flags]

Prints the narrowest rules that would have allowed what was denied, as far as any rule
can and the policy does not allow it by now: for you to review, and to put into a file
of the policy. Changes nothing.

Exit status: 0 every denial is allowed by now or by a rule that is printed, 1 some are
not, 2 the policy, the input or the command line is wrong.`

func policySuggest(args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := newFlags("systemd-brokerd policy suggest", suggestAbout, stderr)
	dir := flags.String("policy", defaultPolicyDir, "directory with the policy's *.hcl files")
	asJSON := flags.Bool("json", false, "print JSON")
	if err := parse(flags, args); err != nil {
		return err
	}
	p, err := readPolicy(*dir)
	if err != nil {
		return mistake(err)
	}
	records, skipped, err := journalRecords(stdin)
	if err != nil {
		return mistake(err)
	}
	note(stderr, skipped, "recorded without the whole request, and left out")
	wanted, without, malformed := wishesOf(p, records)
	note(stderr, malformed, "left out: they hold what no policy can allow, or their client is gone")
	all := []suggestion{}
	for _, w := range without {
		all = append(all, w.suggestion("", w.denial))
	}
	for i, w := range wanted {
		text, denial, err := w.rule(*dir, i+1)
		if err != nil {
			return mistake(err)
		}
		all = append(all, w.suggestion(text, denial))
	}
	if *asJSON {
		err = encodeJSON(stdout, all)
	} else {
		printSuggestions(stdout, all, len(records))
	}
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(s suggestion) bool { return s.Rule == "" }) {
		return errDenied
	}
	return nil
}

// suggestion is what would allow one task, or why nothing would.
type suggestion struct {
	Times   int               `json:"times"`
	Client  string            `json:"client"`
	Command string            `json:"command"`
	User    string            `json:"user,omitempty"`
	Labels  map[string]string `json:"labels"`
	// Rule is empty if no rule helps; Reason says why.
	Rule   string `json:"rule,omitempty"`
	Reason string `json:"reason,omitempty"`
}

func (w *wish) suggestion(rule, reason string) suggestion {
	return suggestion{w.times, w.client.Name, w.command, w.user, w.labels, rule, reason}
}

// printSuggestions prints what can be a file of the policy as it is.
func printSuggestions(stdout io.Writer, all []suggestion, records int) {
	paint, printed := newPainter(stdout), 0
	for _, s := range all {
		if s.Rule == "" {
			fmt.Fprintln(stdout, paint.warn(fmt.Sprintf("# %d × command %q of job %q: no rule helps: %s", s.Times, s.Command, s.Labels["JOB_ID"], oneLine(s.Reason))))
		}
	}
	for _, s := range all {
		if s.Rule == "" {
			continue
		}
		if printed == 0 {
			fmt.Fprintf(stdout, "# Suggested by systemd-brokerd policy suggest: review each rule before you keep it.\n\nversion = 1\n")
		}
		printed++
		fmt.Fprintf(stdout, "\n%s", s.Rule)
	}
	if len(all) == 0 {
		fmt.Fprintf(stdout, "# %d decisions, none of them a denial that the policy does not allow by now\n", records)
	}
}

// wish is what one task was denied, as often as it was, in all its forms.
type wish struct {
	client               *policy.Client
	command, user        string
	labels               map[string]string // of the client's, without the prefix
	denial               string            // the last one
	times                int
	memory, tasks        uint64
	unlimited            bool
	logs, profiles, dirs []string
	groups               []string
	readOnly, readWrite  []string // volumes
	rootfs, images       []string
	devices              []string
	requests             []*policy.Request
}

func (w *wish) label(name string) string { return w.labels[name] }

// taskLabels are the labels that name a task, whichever its allocation is.
var taskLabels = []string{"NAMESPACE", "JOB_ID", "GROUP_NAME", "TASK_NAME"}

// wishesOf are the denied starts that the policy still denies: those that a rule
// could allow, and those that a never forbids or whose proof is missing.
func wishesOf(p *policy.Policy, records []recorded) (wanted, forbidden []*wish, malformed int) {
	p, _ = p.IgnoringArgs()
	byKey := map[string]*wish{}
	for _, rec := range records {
		if !rec.denied || rec.session {
			continue
		}
		c, err := clientOf(p, rec.client)
		if err != nil {
			malformed++
			continue
		}
		r, err := requestOf(rec.spec, c)
		if err != nil {
			malformed++
			continue
		}
		_, err = p.Decide(c.Peer(), r)
		denial, denied := errors.AsType[*policy.Denial](err)
		if !denied {
			continue
		}
		labels := map[string]string{}
		for _, name := range taskLabels {
			if v, ok := r.Labels[c.LabelPrefix()+name]; ok {
				labels[name] = v
			}
		}
		key := fmt.Sprint(c.Name, labels, r.Command, r.User, denial.Never, denial.Subject == "identity")
		w := byKey[key]
		if w == nil {
			w = &wish{client: c, command: r.Command, user: r.User, labels: labels}
			byKey[key] = w
		}
		w.add(r, denial)
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		if w := byKey[key]; w.forbidden(p) {
			forbidden = append(forbidden, w)
		} else {
			wanted = append(wanted, w)
		}
	}
	return wanted, forbidden, malformed
}

func (w *wish) forbidden(p *policy.Policy) bool {
	_, err := p.Decide(w.client.Peer(), w.requests[0])
	d, ok := errors.AsType[*policy.Denial](err)
	// A rule that does not ask for proof would be the way round the one that does.
	return ok && (d.Never != "" || d.Subject == "identity")
}

func (w *wish) add(r *policy.Request, d *policy.Denial) {
	w.times++
	w.denial = d.Error()
	w.requests = append(w.requests, r)
	w.memory = max(w.memory, r.Resources.MemoryMax, r.Resources.MemoryLow)
	w.unlimited = w.unlimited || r.Resources.MemoryUnlimited
	w.tasks = max(w.tasks, r.Resources.TasksMax)
	w.logs = with(w.logs, string(r.LogDriver))
	w.profiles = with(w.profiles, cmp.Or(r.Profile, policy.DefaultProfile))
	if r.Group != "" {
		w.groups = with(w.groups, r.Group)
	}
	for _, g := range r.SupplementaryGroups {
		w.groups = with(w.groups, g)
	}
	w.rootfs = with(w.rootfs, string(cmp.Or(r.Rootfs.Kind, policy.RootfsMinimal)))
	if r.Rootfs.Image != "" {
		w.images = with(w.images, r.Rootfs.Image)
	}
	for _, d := range r.Devices {
		w.devices = with(w.devices, d.Path)
	}
	for _, v := range r.Volumes {
		if v.Image {
			w.images = with(w.images, v.Source)
		} else if v.ReadOnly {
			w.readOnly = with(w.readOnly, v.Source)
		} else {
			w.readWrite = with(w.readWrite, v.Source)
		}
	}
}

// unwritable is a label that no rule can ask for as it is; empty if there is none.
// A "*" in its place would make the rule that of other tasks, whose authors choose
// their names.
func (w *wish) unwritable() string {
	for _, name := range taskLabels {
		if v := w.labels[name]; strings.ContainsAny(v, unwritable) {
			return fmt.Sprintf("label %s=%q holds one of %s, which a policy cannot write; rename the job", name, v, unwritable)
		}
	}
	return ""
}

func with(all []string, s string) []string {
	if !slices.Contains(all, s) {
		all = append(all, s)
		slices.Sort(all)
	}
	return all
}

// rule is the narrowest rule that allows all requests of the wish, or why none does.
// The policy itself says which directives the rule must name.
func (w *wish) rule(dir string, n int) (text, denial string, err error) {
	if denial := w.unwritable(); denial != "" {
		return "", denial, nil
	}
	w.dirs = nil
	for {
		text = w.text(n)
		p, err := readPolicyWith(dir, "suggested.hcl", "version = 1\n"+text)
		if loadError, ok := errors.AsType[*policy.LoadError](err); ok && loadError.File == "suggested.hcl" {
			return "", loadError.Problem, nil
		}
		if err != nil {
			return "", "", err
		}
		p, _ = p.IgnoringArgs()
		d := w.denied(p)
		if d == nil {
			return text, "", nil
		}
		name, _, _ := strings.Cut(d.Value, "=")
		if d.Subject != "directive" || slices.Contains(w.dirs, name) {
			return "", d.Error(), nil
		}
		w.dirs = with(w.dirs, name)
	}
}

// denied is what of the wish the policy denies still.
func (w *wish) denied(p *policy.Policy) *policy.Denial {
	for _, r := range w.requests {
		_, err := p.Decide(w.client.Peer(), r)
		if d, ok := errors.AsType[*policy.Denial](err); ok {
			return d
		}
	}
	return nil
}

// unwritable are characters that labels of a policy cannot hold, or that mean something
// else there.
const unwritable = `"\$%{*`

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

func (w *wish) text(n int) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# %d × %s", w.times, oneLine(w.denial))
	if policy.Interprets(w.command) {
		line("# This program runs what its arguments say, and they are not recorded: add args.")
	}
	name := notInNames.ReplaceAllString(w.label("JOB_ID")+"-"+w.label("TASK_NAME"), "_")
	line("rule %q {", fmt.Sprintf("suggested-%d-%.40s", n, name))
	line("  client      = %q", w.client.Name)
	line("  log_drivers = %s", list(w.logs))
	if !slices.Equal(w.profiles, []string{policy.DefaultProfile}) {
		line("  profiles    = %s", list(w.profiles))
	}
	if w.proven() {
		line("  require_identity = true")
	}
	if w.private() {
		line("  network     = [\"none\"]")
	}
	if !slices.Equal(w.rootfs, []string{string(policy.RootfsMinimal)}) {
		line("  rootfs      = %s", list(w.rootfs))
	}
	if len(w.images) > 0 {
		line("  images      = %s", list(w.images))
	}
	if len(w.devices) > 0 {
		line("  devices     = %s", list(w.devices))
	}
	line("")
	line("  labels {")
	for _, name := range taskLabels {
		if v, ok := w.labels[name]; ok {
			line("    %-10s = [%q]", name, v)
		}
	}
	line("  }\n")
	line("  exec {\n    paths = [%q]\n  }\n", w.command)
	line("  run_as {")
	if w.user == "" {
		line("    dynamic_user = true")
	} else {
		line("    users = [%q]", w.user)
	}
	if len(w.groups) > 0 {
		line("    groups = %s", list(w.groups))
	}
	line("  }")
	w.volumes(line)
	if len(w.dirs) > 0 {
		line("\n  directives {\n    names = %s\n  }", list(w.dirs))
	}
	line("\n  limits {")
	if w.unlimited {
		line("    memory_unlimited = true")
	} else {
		line("    memory_max = \"%dMiB\"", max(1, (w.memory+1<<20-1)>>20))
	}
	if w.tasks > 0 {
		line("    tasks_max  = %d", w.tasks)
	}
	line("  }\n}")
	return b.String()
}

// volumes writes the block for what the task sees of the host.
func (w *wish) volumes(line func(string, ...any)) {
	if len(w.readOnly)+len(w.readWrite) == 0 {
		return
	}
	line("\n  volumes {")
	if len(w.readOnly) > 0 {
		line("    read_only  = %s", list(w.readOnly))
	}
	if len(w.readWrite) > 0 {
		line("    read_write = %s", list(w.readWrite))
	}
	line("  }")
}

// proven is whether it was proven each time which task asks.
func (w *wish) proven() bool {
	return !slices.ContainsFunc(w.requests, func(r *policy.Request) bool { return !r.Proof.Proven() })
}

// private is whether all requests ask for no network by themselves.
func (w *wish) private() bool {
	return !slices.ContainsFunc(w.requests, func(r *policy.Request) bool {
		return !slices.ContainsFunc(r.Directives, func(d policy.Directive) bool {
			return d.Name == "PrivateNetwork" && slices.Contains([]string{"yes", "true", "on", "1"}, d.Lines[len(d.Lines)-1])
		})
	})
}

func list(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = fmt.Sprintf("%q", v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// oneLine is text for a comment: what a client sent must not begin a line of its own.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r == '\u0085' {
			return '?'
		}
		return r
	}, s)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
