// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"bytes"
	"maps"
	"slices"
	"strings"
)

// environment writes env for EnvironmentFile= and returns the file's path. A
// unit's Environment= is readable by every user over D-Bus; this file only by root.
// systemd sets USER and LOGNAME; HOME and TMPDIR are those of the unit's view, unless
// the client says otherwise.
func (f startFiles) environment(env map[string]string) (string, error) {
	all := map[string]string{"HOME": home, "TMPDIR": "/tmp"}
	maps.Copy(all, env)
	return f.write("environment", encodeEnvironment(all), 0o600)
}

// shellSpecial is what a backslash quotes inside double quotes in an
// environment file; before any other character the backslash itself is kept
// (SHELL_NEED_ESCAPE in systemd's basic/env-file.c).
var shellSpecial = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", `$`, `\$`)

// encodeEnvironment is env in the form that EnvironmentFile= reads back byte
// for byte, sorted by name.
func encodeEnvironment(env map[string]string) []byte {
	names := make([]string, 0, len(env))
	for name := range env {
		names = append(names, name)
	}
	slices.Sort(names)
	var b bytes.Buffer
	for _, name := range names {
		b.WriteString(name)
		b.WriteString(`="`)
		b.WriteString(shellSpecial.Replace(env[name]))
		b.WriteString("\"\n")
	}
	return b.Bytes()
}
