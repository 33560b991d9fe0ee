// SPDX-License-Identifier: MPL-2.0

package users

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nomad-systemd-driver/broker/policy"
)

const passwd = `root:x:0:0:root:/root:/bin/bash
# a comment

www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
app:x:1001:1001:App,,,:/home/app:/bin/sh
+::::::
-nobody::::::
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`

const group = `root:x:0:
www-data:x:33:app
app:x:1001:app
ssl-cert:x:106:www-data,app,gone
other:x:107: app , www-data
many:x:106:app
`

func parsed(t *testing.T) *Users {
	t.Helper()
	u, err := Parse([]byte(passwd), []byte(group))
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return u
}

func TestUserHasItsSupplementaryGroupsButNotItsPrimaryOne(t *testing.T) {
	for name, want := range map[string]policy.User{
		"app":      {Name: "app", UID: 1001, GID: 1001, GroupName: "app", Groups: []policy.Group{{Name: "www-data", GID: 33}, {Name: "ssl-cert", GID: 106}, {Name: "other", GID: 107}}},
		"www-data": {Name: "www-data", UID: 33, GID: 33, GroupName: "www-data", Groups: []policy.Group{{Name: "ssl-cert", GID: 106}, {Name: "other", GID: 107}}},
		"nobody":   {Name: "nobody", UID: 65534, GID: 65534},
		"root":     {Name: "root", GroupName: "root"},
	} {
		got, err := parsed(t).User(name)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("User(%q) = %+v, %v, want %+v", name, got, err, want)
		}
	}
}

func TestSnapshotCannotBeChangedThroughAnAnswer(t *testing.T) {
	u := parsed(t)
	first, _ := u.User("app")
	first.Groups[0].GID = 0
	if second, _ := u.User("app"); second.Groups[0].GID != 33 {
		t.Errorf("Groups[0] = %d after a caller's change, want 33", second.Groups[0].GID)
	}
}

func TestUnknownNamesAreErrUnknown(t *testing.T) {
	u := parsed(t)
	for _, name := range []string{"", "nosuch", "+", "-nobody", "# a comment", "gone", "App,,,"} {
		if _, err := u.User(name); !errors.Is(err, policy.ErrUnknown) {
			t.Errorf("User(%q): %v, want ErrUnknown", name, err)
		}
		if _, err := u.Group(name); !errors.Is(err, policy.ErrUnknown) {
			t.Errorf("Group(%q): %v, want ErrUnknown", name, err)
		}
	}
	if gid, err := u.Group("ssl-cert"); gid != 106 || err != nil {
		t.Errorf(`Group("ssl-cert") = %d, %v, want 106`, gid, err)
	}
}

func TestLinesThatCannotBeUnderstoodAreErrors(t *testing.T) {
	for name, row := range map[string]struct{ passwd, group, want string }{
		"too few fields in passwd":      {"a:x:1:1:::\nb:x:2\n", "", "passwd:2: it has 3 fields instead of 7"},
		"too many fields in group":      {"", "a:x:1:b:c\n", "group:1: it has 5 fields instead of 4"},
		"a uid that is not a number":    {"a:x:one:1:::\n", "", `the uid "one" is not a number`},
		"an empty uid":                  {"a:x::1:::\n", "", `the uid "" is not a number`},
		"a negative uid":                {"a:x:-1:1:::\n", "", `the uid "-1" is not a number`},
		"a uid with a sign":             {"a:x:+0:1:::\n", "", `the uid "+0" is not a number`},
		"a uid of 32 bits ones":         {"a:x:4294967295:1:::\n", "", `the uid "4294967295" is not a number`},
		"a uid above 32 bits":           {"a:x:4294967296:1:::\n", "", `the uid "4294967296" is not a number`},
		"a gid in passwd that is wrong": {"a:x:1:z:::\n", "", `the gid "z" is not a number`},
		"a gid in group that is wrong":  {"", "a:x:z:\n", `the gid "z" is not a number`},
		"a user twice":                  {"a:x:1:1:::\na:x:0:0:::\n", "", `the name "a" is there twice`},
		"a group twice":                 {"", "docker:x:9:\ndocker:x:10:a\n", `the name "docker" is there twice`},
		"a user without a name":         {":x:1:1:::\n", "", `the name "" is there twice, or cannot be a name`},
		"a group with a tab in it":      {"", "a\tb:x:1:\n", `cannot be a name`},
		"a line that starts with space": {" a:x:1:1:::\n", "", `cannot be a name`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(row.passwd), []byte(row.group))
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %v, want one with %q", err, row.want)
			}
		})
	}
}

func TestReadNamesTheFileAndLineOfAnError(t *testing.T) {
	dir := t.TempDir()
	pw, gr := filepath.Join(dir, "passwd"), filepath.Join(dir, "group")
	read := func(want string) {
		t.Helper()
		_, err := Read(pw, gr)
		switch {
		case want == "" && err != nil:
			t.Errorf("Read: %v, want no error", err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("Read: %v, want an error with %q", err, want)
		}
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read("cannot read the host's users")
	write(pw, passwd)
	read("cannot read the host's groups")
	write(gr, "bad\n")
	read(gr + ":1: it has 1 fields")
	write(gr, group)
	read("")
}

func TestReadUnderstandsThisHost(t *testing.T) {
	u, err := Read("/etc/passwd", "/etc/group")
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	if root, err := u.User("root"); err != nil || root.UID != 0 {
		t.Errorf(`User("root") = %+v, %v, want uid 0`, root, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(passwd), []byte(group))
	f.Add([]byte("a:x:1:1:::"), []byte("b:x:2:a,,a"))
	f.Add([]byte("\x00:::"), []byte("+"))
	f.Fuzz(func(t *testing.T, passwd, group []byte) {
		u, err := Parse(passwd, group)
		if (u == nil) == (err == nil) {
			t.Fatalf("Parse = %v, %v: want one of the two", u, err)
		}
		if u == nil {
			return
		}
		for name, user := range u.users {
			if name != user.Name {
				t.Errorf("user %q is %+v", name, user)
			}
		}
	})
}
