// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"nomad-systemd-driver/broker/directive"
	"nomad-systemd-driver/broker/policy"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// Limits of one request. They keep every value far below what PID 1, the
// kernel and a unit file can hold, and the broker's memory bounded.
const (
	maxIDBytes    = 256
	maxWords      = 4
	maxWordBytes  = 64
	maxLabels     = 32
	maxLabelBytes = 256
	maxPathBytes  = 4096
	maxArgs       = 4096
	// maxArgsBytes: the command line is kept in one line of the transient unit
	// file, and a line above 1 MiB makes the unit unreadable at the next
	// daemon-reload (LONG_LINE_MAX in systemd's basic/fileio.h); escaping may
	// double the size.
	maxArgsBytes = 128 << 10
	maxEnvs      = 4096
	maxEnvBytes  = 256 << 10
	maxCPU       = 8191 // the kernel has at most 8192 CPUs
	maxGroups    = 32

	maxVolumes    = 24
	maxDirectives = 128
	maxLines      = 256
	// maxDirectivesBytes: the lines of a list end up in one line of the transient
	// unit file, as arguments do.
	maxDirectivesBytes = 64 << 10

	maxLogInterval = 24 * time.Hour
)

var (
	idPattern    = regexp.MustCompile(`\A[A-Za-z0-9._/-]+\z`)
	labelPattern = regexp.MustCompile(`\A[A-Z][A-Z0-9_]{0,63}\z`)
	envPattern   = regexp.MustCompile(`\A[A-Za-z_][A-Za-z0-9_]*\z`)
	tokenPattern = regexp.MustCompile(`\A[0-9a-f]{64}\z`)
	// profilePattern is that of the names of profiles, see policy.
	profilePattern = regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\z`)
	userPattern    = regexp.MustCompile(`\A[A-Za-z_][A-Za-z0-9_.-]{0,31}\z`)
	// pathPattern is narrower than what a file name may be: PID 1 writes paths
	// unescaped into the transient unit file and reads them again at
	// daemon-reload, where white space, quotes, ":", "%" and "\" would change
	// their meaning.
	pathPattern = regexp.MustCompile(`\A/[A-Za-z0-9._@+=,/-]*\z`)
	// fileNamePattern does not match what systemd reads as a prefix, such as "+".
	fileNamePattern = regexp.MustCompile(`\A[A-Za-z0-9_][A-Za-z0-9._+-]{0,254}\z`)
)

// invalidError is a request that is malformed, whatever policy says.
type invalidError struct{ field, problem string }

// Error implements error.
func (e *invalidError) Error() string { return e.field + ": " + e.problem }

func invalid(field, format string, args ...any) error {
	return &invalidError{field, fmt.Sprintf(format, args...)}
}

// request turns a client's specification into the immutable request that
// policy decides on, or says what is malformed in it. labelPrefix is what the
// name of each label must start with.
func request(spec *brokerv1.UnitSpec, labelPrefix string) (*policy.Request, error) {
	return checked(spec, labelPrefix, checkCommandPath, checkLogging, checkCredentials)
}

// Request is what a client's specification of a unit, as it is kept, recorded or planned,
// asks the policy, read as for StartUnit; the error says what is malformed in it.
func Request(spec *brokerv1.UnitSpec, c *policy.Client) (*policy.Request, error) {
	r, err := request(spec, labelPrefix(c))
	if err == nil {
		assumed(r, spec.GetIdentityToken(), c)
	}
	return r, err
}

// SessionRequest is Request for a session beside a unit that the rule allowed.
func SessionRequest(spec *brokerv1.UnitSpec, c *policy.Client, rule string) (*policy.Request, error) {
	return sessionRequest(spec, labelPrefix(c), rule)
}

// sessionRequest is request for a session beside a unit that the rule allowed.
func sessionRequest(spec *brokerv1.UnitSpec, labelPrefix, rule string) (*policy.Request, error) {
	r, err := checked(spec, labelPrefix, checkSession, checkSessionCredentials)
	if err != nil {
		return nil, err
	}
	r.Session, r.Rule = true, rule
	return r, nil
}

func checked(spec *brokerv1.UnitSpec, labelPrefix string, more ...func(*brokerv1.UnitSpec) error) (*policy.Request, error) {
	if spec == nil {
		return nil, invalid("spec", "is missing")
	}
	for _, check := range append([]func(*brokerv1.UnitSpec) error{
		checkID, checkName, checkArgs, checkEnv, checkUser, checkToken, checkPaths, checkVolumes, checkFiles, checkResources, checkDirectives, checkManager,
	}, more...) {
		if err := check(spec); err != nil {
			return nil, err
		}
	}
	if err := checkLabels(spec.GetLabels(), labelPrefix); err != nil {
		return nil, err
	}
	dirs, res := spec.GetDirectories(), spec.GetResources()
	r := &policy.Request{
		ID:      spec.GetId(),
		Name:    slices.Clone(spec.GetName()),
		Labels:  maps.Clone(spec.GetLabels()),
		Command: spec.GetCommand(),
		Args:    slices.Clone(spec.GetArgs()),
		Env:     maps.Clone(spec.GetEnv()),
		User:    spec.GetUser(),
		Group:   spec.GetGroup(),

		UserManager: spec.GetUserManager(),

		SupplementaryGroups: slices.Sorted(slices.Values(spec.GetSupplementaryGroups())),
		Directories: policy.Directories{
			Alloc: dirs.GetAlloc(), Local: dirs.GetLocal(), Secrets: dirs.GetSecrets(),
		},
		Resources: policy.Resources{
			CPUWeight:       res.GetCpuWeight(),
			CPUs:            slices.Clone(res.GetCpus()),
			MemoryLow:       res.GetMemoryLowBytes(),
			MemoryMax:       res.GetMemoryMaxBytes(),
			MemoryUnlimited: res.GetMemoryUnlimited(),
			TasksMax:        res.GetTasksMax(),
		},
		LogDriver:        logDrivers[spec.GetLogging().GetDriver()],
		LogRate:          logRate(spec.GetLogging()),
		WorkingDirectory: spec.GetWorkingDirectory(),
		Profile:          spec.GetProfile(),
		Volumes:          volumes(spec),
		Directives:       directives(spec),
		Credentials:      credentialsOf(spec),
	}
	addFiles(r, spec)
	return r, nil
}

func volumes(s *brokerv1.UnitSpec) []policy.Volume {
	var all []policy.Volume
	for _, v := range s.GetVolumes() {
		all = append(all, policy.Volume{Source: v.GetSource(), Destination: v.GetDestination(), ReadOnly: v.GetReadOnly() || v.GetImage(), Image: v.GetImage()})
	}
	return all
}

// directives are those of the request, sorted by name.
func directives(s *brokerv1.UnitSpec) []policy.Directive {
	var all []policy.Directive
	for _, d := range s.GetDirectives() {
		all = append(all, policy.Directive{Name: d.GetName(), Lines: slices.Clone(d.GetValues())})
	}
	slices.SortFunc(all, func(a, b policy.Directive) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func logRate(l *brokerv1.Logging) policy.LogRate {
	return policy.LogRate{
		Burst:        l.GetRateLimitBurst(),
		IntervalUSec: uint64(l.GetRateLimitInterval().AsDuration().Microseconds()), //nolint:gosec // checkRate
	}
}

var logDrivers = map[brokerv1.Logging_Driver]policy.LogDriver{
	brokerv1.Logging_DRIVER_FDS:     policy.LogFDs,
	brokerv1.Logging_DRIVER_JOURNAL: policy.LogJournal,
	brokerv1.Logging_DRIVER_NONE:    policy.LogNone,
}

func checkID(s *brokerv1.UnitSpec) error {
	if len(s.GetId()) > maxIDBytes || !idPattern.MatchString(s.GetId()) {
		return invalid("id", "%s is not 1 to %d bytes of [A-Za-z0-9._/-]", quote(s.GetId()), maxIDBytes)
	}
	return nil
}

func checkName(s *brokerv1.UnitSpec) error {
	if len(s.GetName()) > maxWords {
		return invalid("name", "has %d words, more than %d", len(s.GetName()), maxWords)
	}
	for _, w := range s.GetName() {
		if len(w) > maxWordBytes || !plain(w) {
			return invalid("name", "%s is not a word of at most %d bytes without control characters", quote(w), maxWordBytes)
		}
	}
	return nil
}

func checkLabels(labels map[string]string, prefix string) error {
	if len(labels) > maxLabels {
		return invalid("labels", "there are %d, more than %d", len(labels), maxLabels)
	}
	for k, v := range labels {
		if !labelPattern.MatchString(k) || !strings.HasPrefix(k, prefix) {
			return invalid("labels", "%s does not start with %s or holds more than [A-Z0-9_]", quote(k), prefix)
		}
		// White space would end the value at the next daemon-reload, and begin
		// another field (config_parse_log_extra_fields in systemd's source).
		if len(v) > maxLabelBytes || !plain(v) || strings.ContainsFunc(v, unicode.IsSpace) {
			return invalid("labels", "the value of %s is over %d bytes or holds white space or control characters", k, maxLabelBytes)
		}
	}
	return nil
}

func checkCommandPath(s *brokerv1.UnitSpec) error { return checkPath("command", s.GetCommand()) }

// checkSession checks what differs in a session: the command may be a file
// name, and there is no logging.
func checkSession(s *brokerv1.UnitSpec) error {
	if s.GetLogging() != nil {
		return invalid("logging", "a session has none")
	}
	if s.GetIdentityToken() != "" {
		return invalid("identity_token", "a session has none")
	}
	if fileNamePattern.MatchString(s.GetCommand()) {
		return nil
	}
	return checkCommandPath(s)
}

func checkArgs(s *brokerv1.UnitSpec) error {
	if len(s.GetArgs()) > maxArgs {
		return invalid("args", "there are %d, more than %d", len(s.GetArgs()), maxArgs)
	}
	total := 0
	for i, a := range s.GetArgs() {
		if strings.ContainsRune(a, 0) || !utf8.ValidString(a) {
			return invalid("args", "argument %d holds a NUL byte or is not valid UTF-8", i+1)
		}
		total += len(a) + 1
	}
	if total > maxArgsBytes {
		return invalid("args", "they take %d bytes, more than %d; put long input into a file under local/", total, maxArgsBytes)
	}
	return nil
}

func checkEnv(s *brokerv1.UnitSpec) error {
	if len(s.GetEnv()) > maxEnvs {
		return invalid("env", "there are %d variables, more than %d", len(s.GetEnv()), maxEnvs)
	}
	total := 0
	for k, v := range s.GetEnv() {
		if !envPattern.MatchString(k) {
			return invalid("env", "%s is not the name of a variable ([A-Za-z_][A-Za-z0-9_]*)", quote(k))
		}
		if !envValue(v) {
			return invalid("env", "the value of %s holds a control character other than tab and newline, or is not valid UTF-8", k)
		}
		total += len(k) + len(v) + 2
	}
	if total > maxEnvBytes {
		return invalid("env", "it takes %d bytes, more than %d; put long values into a file under local/ or secrets/", total, maxEnvBytes)
	}
	return nil
}

func checkUser(s *brokerv1.UnitSpec) error {
	if u := s.GetUser(); u != "" && !userPattern.MatchString(u) {
		return invalid("user", "%s is not a user name (numbers are not accepted; name the user)", quote(u))
	}
	return checkGroups(s)
}

func checkPaths(s *brokerv1.UnitSpec) error {
	d := s.GetDirectories()
	for _, p := range []struct{ field, path string }{
		{"directories.alloc", d.GetAlloc()},
		{"directories.local", d.GetLocal()},
		{"directories.secrets", d.GetSecrets()},
	} {
		if err := checkPath(p.field, p.path); err != nil {
			return err
		}
	}
	if wd := s.GetWorkingDirectory(); wd != "" {
		return checkPath("working_directory", wd)
	}
	return nil
}

func checkOpen(d *brokerv1.Directories) error {
	if d == nil {
		return nil
	}
	return checkPaths(&brokerv1.UnitSpec{Directories: d})
}

func checkVolumes(s *brokerv1.UnitSpec) error {
	if n := len(s.GetVolumes()); n > maxVolumes {
		return invalid("volumes", "%d are more than %d", n, maxVolumes)
	}
	for i, v := range s.GetVolumes() {
		if err := checkPath(fmt.Sprintf("volumes[%d].source", i), v.GetSource()); err != nil {
			return err
		}
		if err := checkPath(fmt.Sprintf("volumes[%d].destination", i), v.GetDestination()); err != nil {
			return err
		}
	}
	return nil
}

func checkPath(field, p string) error {
	if len(p) > maxPathBytes || !pathPattern.MatchString(p) {
		return invalid(field, "%s is not an absolute path of [A-Za-z0-9._@+=,/-]", quote(p))
	}
	if path.Clean(p) != p {
		return invalid(field, "%s is not a clean path (it holds //, /./, /../ or ends in /)", quote(p))
	}
	return nil
}

// checkDirectives wants every directive to be known, once, and well-formed by
// itself.
func checkDirectives(s *brokerv1.UnitSpec) error {
	if p := s.GetProfile(); p != "" && !profilePattern.MatchString(p) {
		return invalid("profile", "%s is not the name of a profile", quote(p))
	}
	if n := len(s.GetDirectives()); n > maxDirectives {
		return invalid("directives", "there are %d, more than %d", n, maxDirectives)
	}
	seen, total := map[string]bool{}, 0
	for _, d := range s.GetDirectives() {
		for _, line := range d.GetValues() {
			total += len(line)
		}
		name, lines := d.GetName(), d.GetValues()
		known, ok := directive.Lookup(name)
		switch like, near := directive.Nearest(name); {
		case !ok && near:
			return invalid("directives", "there is no directive %s; did you mean %s?", quote(name), like)
		case !ok:
			return invalid("directives", "there is no directive %s; see systemd.exec(5) and systemd.resource-control(5)", quote(name))
		case seen[name]:
			return invalid("directives", "%s is there twice; put all of its lines into one", name)
		case len(lines) == 0 || len(lines) > maxLines:
			return invalid("directives", "%s has %d lines; 1 to %d are accepted", name, len(lines), maxLines)
		case known.Refusal() == "": // what is refused is for the policy to say
			if _, err := known.Settings(lines); err != nil {
				return invalid("directives", "%v", err)
			}
		}
		seen[name] = true
	}
	if total > maxDirectivesBytes {
		return invalid("directives", "they take %d bytes, more than %d", total, maxDirectivesBytes)
	}
	return nil
}

func checkResources(s *brokerv1.UnitSpec) error {
	r := s.GetResources()
	if w := r.GetCpuWeight(); w > 10000 {
		return invalid("resources.cpu_weight", "%d is not 1 to 10000", w)
	}
	for _, cpu := range r.GetCpus() {
		if cpu > maxCPU {
			return invalid("resources.cpus", "there is no CPU %d", cpu)
		}
	}
	if r.GetMemoryUnlimited() != (r.GetMemoryMaxBytes() == 0) {
		return invalid("resources.memory_max_bytes", "either a limit or memory_unlimited must be set, not both and not neither")
	}
	return nil
}

func checkLogging(s *brokerv1.UnitSpec) error {
	l := s.GetLogging()
	if _, ok := logDrivers[l.GetDriver()]; !ok {
		return invalid("logging.driver", "is not set")
	}
	if fds := l.GetDriver() == brokerv1.Logging_DRIVER_FDS; fds != tokenPattern.MatchString(l.GetFdToken()) {
		return invalid("logging.fd_token", "must be 64 hexadecimal digits with DRIVER_FDS, and empty without")
	}
	return checkRate(l)
}

func checkRate(l *brokerv1.Logging) error {
	burst, interval := l.GetRateLimitBurst(), l.GetRateLimitInterval()
	switch {
	case burst == 0 && interval == nil:
		return nil
	case l.GetDriver() != brokerv1.Logging_DRIVER_JOURNAL:
		return invalid("logging.rate_limit_burst", "is for DRIVER_JOURNAL only")
	case burst == 0 || !interval.IsValid() || interval.AsDuration() < time.Millisecond || interval.AsDuration() > maxLogInterval:
		return invalid("logging.rate_limit_interval", "needs a burst and must be between 1 ms and %s", maxLogInterval)
	}
	return nil
}
