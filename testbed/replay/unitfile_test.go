// SPDX-License-Identifier: MPL-2.0

package replay

import (
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const text = `# a comment
[Unit]
Description=Test

[Service]
Type=oneshot
ExecStart=sh -x -c 'test "$$PWD" = "/tmp/a b" && printf %%s \x41\s\-\xzz\"'
ExecStart=/bin/true
User=nobody
Group=daemon
SupplementaryGroups=adm
SupplementaryGroups=
SupplementaryGroups=audio games
SupplementaryGroups=adm
WorkingDirectory=/tmp
Environment="A=word1 word2" B=2
Environment=B=3
SystemCallFilter=read
SystemCallFilter=~write \
    open
`
	want := &Service{
		Commands: [][]string{{"sh", "-x", "-c", `test "$PWD" = "/tmp/a b" && printf %s A \-\xzz"`}, {"/bin/true"}},
		User:     "nobody", Group: "daemon", Groups: []string{"audio", "games", "adm"},
		WorkingDirectory: "/tmp",
		Env:              map[string]string{"A": "word1 word2", "B": "3"},
		Directives:       []Directive{{"SystemCallFilter", []string{"read", "~write      open"}}},
	}
	got, err := Parse(text)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestParseRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"ExecStart=+/bin/true":      "has a prefix",
		"ExecStart=/bin/echo %n":    "the specifier %n",
		"ExecStart=/bin/echo $HOME": "a variable",
		"ExecStart=/bin/echo 'x":    "not closed",
		"ExecStart=":                "not one command",
		"ExecStart=a ; b":           "not one command",
		"User=root":                 "no ExecStart",
		"nonsense":                  "no assignment",
		"Environment=A=%h":          "a specifier",
	} {
		if _, err := Parse("[Service]\n" + line + "\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", line, err, want)
		}
	}
}

func TestExpectations(t *testing.T) {
	const source = `
static void test_exec_user(Manager *m) {
        int status = can_unshare ? 0 : EXIT_NAMESPACE;
        test(m, "exec-user-" NOBODY_USER_NAME ".service", MANAGER_IS_SYSTEM(m) ? 0 : EXIT_GROUP, CLD_EXITED);
        test(m, "exec-a.service", can_unshare ? 0 : MANAGER_IS_SYSTEM(m) ? EXIT_FAILURE : EXIT_NAMESPACE, CLD_EXITED);
        test(m, "exec-b.service", SIGSYS, CLD_KILLED);
        test(m, "exec-c.service", errno_from_name("EILSEQ"), CLD_EXITED);
        test(m, "exec-d.service", 255, CLD_EXITED);
        test(m, "exec-e.service", status, CLD_EXITED);
        test(m, "exec-e.service", EXIT_EXEC, CLD_EXITED);
`
	want := map[string]Expected{
		"exec-user-nobody.service": {}, "exec-a.service": {}, "exec-b.service": {Signal: 31},
		"exec-c.service": {Code: 84}, "exec-d.service": {Code: 255}, "exec-e.service": {},
	}
	got, err := Expectations(source)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := Expectations(`test(m, "a", WHAT, CLD_EXITED);`); err == nil {
		t.Errorf("an expression that it does not know gives %v", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("[Service]\nExecStart=/bin/sh -c 'a\\x41'\nEnvironment=\"A=b c\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := Parse(text); err == nil && len(s.Commands) == 0 {
			t.Error("a service without a command")
		}
	})
}
