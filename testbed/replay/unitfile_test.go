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
ExecStart=sh -x -c 'test "$$PWD" = "/tmp/a b" && printf %%s \x41\s\-\xzz\" $d'
ExecStart=-/bin/a %U ; :/bin/b $$C
ExecStart=/bin/true
User=nobody
Group=daemon
SupplementaryGroups=adm
SupplementaryGroups=
SupplementaryGroups=audio games
SupplementaryGroups=adm
WorkingDirectory=/tmp
NetworkNamespacePath=/run/netns/a
BindPaths=/a -/b:/c
BindReadOnlyPaths=/d
Environment="A=word1 word2" B=2 C%U=%T
Environment=B=3
SystemCallFilter=read
SystemCallFilter=~write \
    open
ExecSearchPath=%V
`
	want := &Service{
		Commands: []Command{
			{[]string{"sh", "-x", "-c", `test "$PWD" = "/tmp/a b" && printf %s A \-\xzz" $d`}, false},
			{[]string{"/bin/a", "0"}, true},
			{[]string{"/bin/b", "$$C"}, false},
			{[]string{"/bin/true"}, false},
		},
		User: "nobody", Group: "daemon", Groups: []string{"audio", "games", "adm"},
		WorkingDirectory: "/tmp",
		Env:              map[string]string{"A": "word1 word2", "B": "3", "C0": "/tmp"},
		NetworkNamespace: "/run/netns/a",
		Volumes:          []Volume{{"/a", "/a", false}, {"/b", "/c", false}, {"/d", "/d", true}},
		Directives:       []Directive{{"SystemCallFilter", []string{"read", "~write      open"}}, {"ExecSearchPath", []string{"/var/tmp"}}},
	}
	got, err := Parse(text)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestParseTellsWhatNoRequestCanSay(t *testing.T) {
	for line, want := range map[string]string{
		"ExecStart=+/bin/true":       "with more rights",
		"ExecStart=@/bin/true x":     "another name",
		"ExecStart=/bin/echo %n":     "the specifier %n",
		"ExecStart=/bin/echo $HOME":  "a variable",
		"ExecStart=/bin/echo a${B}c": "a variable",
		"ExecStart=/bin/echo 'x":     "not closed",
		"ExecStart=":                 "no ExecStart",
		"ExecStart=a ; ; b":          "names no program",
		"User=root":                  "no ExecStart",
		"Environment=A=%d":           "the specifier %d",
		"ExecSearchPath=%d":          "the specifier %d",
	} {
		if s, err := Parse("[Service]\n" + line + "\n"); err != nil || s.Unsaid == nil || !strings.Contains(s.Unsaid.Error(), want) {
			t.Errorf("%s: got %v, %v, want %q", line, s.Unsaid, err, want)
		}
	}
	if s, err := Parse("nonsense\n"); err == nil {
		t.Errorf("nonsense gives %v", s)
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
        if (check_user_has_group_with_same_name("games"))
                test(m, "exec-f.service", status, CLD_EXITED);
        test(m, "exec-g.service", 0, CLD_EXITED);
#if defined(__x86_64__)
        test(m, "exec-h.service", 0, CLD_EXITED);

#elif defined(__s390__)
        test(m, "exec-i.service", 0, CLD_EXITED);
#elif defined(__powerpc64__)
#  if __BYTE_ORDER == __BIG_ENDIAN
        test(m, "exec-i.service", 0, CLD_EXITED);
#  endif
#else
        log_notice("skipping");
#endif
        test(m, "exec-j.service", 0, CLD_EXITED);
`
	want := map[string]Test{
		"exec-user-nobody.service": {}, "exec-a.service": {}, "exec-b.service": {Expected{Signal: 31}, ""},
		"exec-c.service": {Expected{Code: 84}, ""}, "exec-d.service": {Expected{Code: 255}, ""}, "exec-e.service": {},
		"exec-f.service": {User: "games"}, "exec-g.service": {}, "exec-h.service": {}, "exec-j.service": {},
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
		if s, err := Parse(text); err == nil && s.Unsaid == nil && len(s.Commands) == 0 {
			t.Error("a service without a command")
		}
	})
}
