// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"
)

// guardedNames are variables that have a program run, load or read code of the job's
// choice, before it looks at its arguments: with them any program is as good as an
// interpreter with free arguments. The table cannot be complete; a program reads what
// it likes.
var guardedNames = []pattern{
	"LD_*", "GLIBC_TUNABLES", "GCONV_PATH", "LOCPATH", // the loader and the C library
	"BASH_ENV", "BASH_FUNC_*", "BASHOPTS", "ENV", "FPATH", "IFS", "PROMPT_COMMAND", "PS4", "SHELLOPTS", "ZDOTDIR",
	"PYTHON*", "PERL5*", "PERLLIB", "PERL_*",
	"BUNDLE_*", "GEM_*", "RUBYLIB", "RUBYOPT", "RUBYSHELL",
	"NODE_OPTIONS", "NODE_PATH", "NODE_REPL_EXTERNAL_MODULE", "NPM_CONFIG_*", "npm_config_*",
	"CLASSPATH", "JAVA_OPTIONS", "JAVA_OPTS", "JAVA_TOOL_OPTIONS", "JDK_*", "JRE_*", "_JAVA_OPTIONS",
	"CORECLR_*", "COMPlus_*", "DOTNET_*", "MONO_*",
	"ERL_*", "ELIXIR_*", "GUILE_*", "JULIA_*", "LUA_*", "PHPRC", "PHP_INI_SCAN_DIR", "R_*", "TCLLIBPATH",
	"AWKLIBPATH", "AWKPATH", "MAKEFILES", "MAKEFLAGS",
	"EDITOR", "GIT_*", "LESSCLOSE", "LESSOPEN", "MANPAGER", "PAGER", "SYSTEMD_PAGER", "VISUAL", "VIMINIT", "EXINIT", // commands
	"GTK_MODULES", "GIO_*", "QT_*", "OPENSSL_*", "SSLKEYLOGFILE", "KRB5_CONFIG", "HOSTALIASES", "RES_OPTIONS",
}

// guardedNames as they are looked up.
var guardedExactly, guardedPrefixes = func() (exactly map[string]struct{}, prefixes []pattern) {
	exactly = map[string]struct{}{}
	for _, p := range guardedNames {
		if strings.HasSuffix(string(p), "*") {
			prefixes = append(prefixes, p)
		} else {
			exactly[string(p)] = struct{}{}
		}
	}
	return exactly, prefixes
}()

// hostDirs are where a PATH may lead: nobody but root changes what is there.
var hostDirs = []string{"/usr", "/bin", "/sbin", "/snap"}

// GuardedEnv are the names of the variables that only a rule can let through, sorted:
// those of the table, and a PATH that leads elsewhere than to the host's programs.
func GuardedEnv(env map[string]string) []string {
	var all []string
	for name, value := range env {
		if _, ok := guardedExactly[name]; ok || anyMatches(guardedPrefixes, name) || name == "PATH" && !hostPath(value) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

func hostPath(value string) bool {
	for dir := range strings.SplitSeq(value, ":") {
		if !cleanAbsolute(dir) || !slices.ContainsFunc(hostDirs, func(root string) bool { return dir == root || below(root, dir) }) {
			return false
		}
	}
	return true
}

// guardedEnv is GuardedEnv of r.
func (r *Request) guardedEnv() []string {
	if r.memo == nil {
		return GuardedEnv(r.Env)
	}
	if !r.memo.envRead {
		r.memo.env, r.memo.envRead = GuardedEnv(r.Env), true
	}
	return r.memo.env
}

// envAllowed: whoever runs as a user of their own, with arguments of their own, can do
// nothing more by these variables. A session may run any program.
func envAllowed(_ *client, l *rule, r *Request) bool { return l.firstGuarded(r) == "" }

// firstGuarded is the first variable that the rule does not let through.
func (l *rule) firstGuarded(r *Request) string {
	if r.Session || r.User == "" && !l.args.bound() {
		return ""
	}
	for _, name := range r.guardedEnv() {
		if !anyMatches(l.env, name) {
			return name
		}
	}
	return ""
}

func envDenied(c *client, l *rule, r *Request) *Denial {
	return &Denial{
		Subject: "env", Value: l.firstGuarded(r), // the value may be secret
		Reason: fmt.Sprintf("no rule of policy client %q lets this task have the variable, which could make the program run other code; "+
			"leave it out, or ask the operator to add it to env.names of a rule", c.Name),
	}
}

// envOf reads the block env.
func envOf(r *reader) []pattern {
	if r == nil {
		return nil
	}
	names := r.patterns("names")
	if len(names) == 0 {
		r.fail(r.head, `%s needs names, such as ["JAVA_TOOL_OPTIONS"]`, r.title)
	}
	return names
}
