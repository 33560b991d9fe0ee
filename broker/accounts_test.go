// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/broker/systemd/fakepid1"
	"nomad-systemd-driver/broker/unit"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

func TestAccounts(t *testing.T) {
	const root = "root:x:0:0:root:/root:/usr/sbin/nologin\n"
	const others = root + "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
	tests := []struct {
		name          string
		account       account
		passwd, group string
	}{
		{
			"a user with its groups",
			account{user: "app", uid: 1001, groups: []policy.Group{{Name: "people", GID: 2000}, {Name: "media", GID: 1500}}},
			others + "app:x:1001:2000::/local:/bin/sh\n", "root:x:0:\npeople:x:2000:\nmedia:x:1500:app\nnogroup:x:65534:\n",
		},
		{
			"a group that is asked for twice",
			account{user: "app", uid: 1001, groups: []policy.Group{{Name: "media", GID: 1500}, {Name: "media", GID: 1500}}},
			others + "app:x:1001:1500::/local:/bin/sh\n", "root:x:0:\nmedia:x:1500:\nnogroup:x:65534:\n",
		},
		{
			"a gid without a name",
			account{user: "app", uid: 1001, groups: []policy.Group{{GID: 1001}}},
			others + "app:x:1001:1001::/local:/bin/sh\n", "root:x:0:\nnogroup:x:65534:\n",
		},
		{
			"nobody is there once",
			account{user: "nobody", uid: 65534, groups: []policy.Group{{Name: "nogroup", GID: 65534}}},
			root + "nobody:x:65534:65534::/local:/bin/sh\n", "root:x:0:\nnogroup:x:65534:\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.account.passwd(); got != tt.passwd {
				t.Errorf("passwd is\n%s\nwant\n%s", got, tt.passwd)
			}
			if got := tt.account.group(); got != tt.group {
				t.Errorf("group is\n%s\nwant\n%s", got, tt.group)
			}
		})
	}
}

// TestAccountTakesTheUIDThatSystemdAllocated: systemd takes another uid than the
// expected one if somebody has that.
func TestAccountTakesTheUIDThatSystemdAllocated(t *testing.T) {
	ephemeral := account{user: "nomad-0", uid: 62000, groups: []policy.Group{{Name: "nomad-0", GID: 62000}, {Name: "media", GID: 1500}}, dynamic: true}
	f := startFiles{t.TempDir()}
	passwd, group, err := f.accounts(ephemeral)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := os.Open(passwd) // as a running unit has it
	if err != nil {
		t.Fatal(err)
	}
	defer seen.Close()
	for _, uid := range []uint32{62000, systemd.NoUID} {
		if a, other := ephemeral.allocated(uid); other {
			t.Errorf("uid %d makes it %+v", uid, a)
		}
	}
	a, other := ephemeral.allocated(63001)
	if !other || f.correct(a) != nil {
		t.Fatalf("allocated = %+v, %t", a, other)
	}
	for path, want := range map[string]string{passwd: "nomad-0:x:63001:63001:", group: "nomad-0:x:63001:\nmedia:x:1500:nomad-0\n"} {
		if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), want) || strings.Contains(string(text), "62000") {
			t.Errorf("%s holds %q, %v; want %q", filepath.Base(path), text, err, want)
		}
	}
	fixed := account{user: "app", uid: 1001, groups: []policy.Group{{Name: "app", GID: 1001}}}
	if a, other := fixed.allocated(1002); other {
		t.Errorf("a user of the host becomes %+v", a)
	}
	if was := ephemeral.groups[0].GID; was != 62000 {
		t.Errorf("the account before has the gid %d", was)
	}
}

// startedFrom starts a unit and returns the files that PID 1 has for it then.
func (w *world) startedFrom(spec *brokerv1.UnitSpec) map[string]string {
	w.t.Helper()
	files := map[string]string{}
	w.pid1.OnStart(func(s fakepid1.Start) fakepid1.Outcome {
		tree := os.DirFS(filepath.Join(w.run, "starts", s.Unit))
		err := fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := fs.ReadFile(tree, path)
			files[path] = string(text)
			return err
		})
		if err != nil {
			w.t.Error(err)
		}
		return fakepid1.Outcome{}
	})
	if _, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: spec}); err != nil {
		w.t.Fatal(err)
	}
	return files
}

// TestUnitIsToldWhoItIs reads the files while PID 1 starts the unit from them.
func TestUnitIsToldWhoItIs(t *testing.T) {
	w := newWorld(t)
	name := unit.DynamicUserName("nomad", "a/1", 0)
	files := w.startedFrom(w.spec("a/1"))
	passwd, env := files["passwd"], files["environment"]
	want := account{user: name, uid: unit.DynamicUID(name), groups: []policy.Group{{Name: name, GID: unit.DynamicUID(name)}}}
	if passwd != want.passwd() {
		t.Errorf("passwd is %q, want %q", passwd, want.passwd())
	}
	if !strings.Contains(env, "HOME=\"/local\"") || !strings.Contains(env, "TMPDIR=\"/tmp\"") {
		t.Errorf("the environment is %q", env)
	}
}
