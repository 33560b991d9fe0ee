// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"nomad-systemd-driver/broker/policy"
)

// FuzzLoad wants of any text that it is a policy within the floor, or an error
// that names a place in the text.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/errors/*.hcl", "testdata/decide/*/policy.hcl", starterPolicy + "/*.hcl"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("found no %s: %v", pattern, err)
		}
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	names := host(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := policy.Load(fstest.MapFS{"a.hcl": {Data: text}}, names, nil)
		if err != nil {
			checkLoadError(t, text, p, err)
			return
		}
		for _, c := range p.Clients() {
			if c.UID == 0 || c.MaxUnits < 1 || c.UnitPrefix == "" || c.AllocRoot == "/" || !strings.HasSuffix(c.Slice, ".slice") {
				t.Errorf("the policy has the client %+v", *c)
			}
			r := allowedRequest()
			r.Directories = policy.Directories{
				Alloc: c.AllocRoot + "/a/alloc", Local: c.AllocRoot + "/a/t/local", Secrets: c.AllocRoot + "/a/t/secrets",
			}
			for _, user := range []string{"", "root", "toor", "nomad", "dockerer", "www-data"} {
				r.User = user
				if d, err := p.Decide(policy.Peer{UID: c.UID}, r); err == nil {
					checkFloor(t, d)
				}
			}
		}
	})
}

// FuzzDecide wants of any request that it is refused, or within what the
// typical policy says, as this test reads it.
func FuzzDecide(f *testing.F) {
	text, err := os.ReadFile("testdata/decide/typical/policy.hcl")
	if err != nil {
		f.Fatal(err)
	}
	p := load(f, string(text))
	add := func(r *policy.Request) {
		f.Add(uint32(nomadUID), r.Command, r.User, r.Directories.Alloc, r.Directories.Local, r.Directories.Secrets,
			r.Resources.MemoryLow, r.Resources.MemoryMax, r.Resources.MemoryUnlimited, r.Resources.TasksMax, string(r.LogDriver))
	}
	add(allowedRequest())
	for _, change := range []func(*policy.Request){
		func(r *policy.Request) { r.Command, r.User = "/usr/sbin/foo", "app" },
		func(r *policy.Request) { r.Command, r.User = "/usr/bin/../sbin/x", "www-data" },
		func(r *policy.Request) { r.Command, r.LogDriver = "/alloc/x", policy.LogJournal },
		func(r *policy.Request) { r.Directories.Local = allocDir + "/../x/local" },
		func(r *policy.Request) { r.Resources.MemoryMax = 1<<64 - 1 },
		func(r *policy.Request) { r.User = "root" },
	} {
		r := allowedRequest()
		change(r)
		add(r)
	}
	f.Fuzz(func(t *testing.T, uid uint32, command, user, alloc, local, secrets string, low, most uint64, unlimited bool, tasks uint64, log string) {
		r := allowedRequest()
		r.Command, r.User, r.LogDriver = command, user, policy.LogDriver(log)
		r.Directories = policy.Directories{Alloc: alloc, Local: local, Secrets: secrets}
		r.Resources = policy.Resources{MemoryLow: low, MemoryMax: most, MemoryUnlimited: unlimited, TasksMax: tasks}
		d, err := p.Decide(policy.Peer{UID: uid}, r)
		if err != nil {
			var denial *policy.Denial
			if d != nil || !errors.As(err, &denial) || strings.ContainsAny(err.Error(), "\n\x00\x1b") {
				t.Fatalf("Decide = %v, %q, want a denial on one line", d, err)
			}
			return
		}
		if uid != nomadUID {
			t.Errorf("uid %d is allowed", uid)
		}
		checkFloor(t, d)
		checkTypical(t, d)
	})
}

// checkFloor checks what is true of every decision, whatever the policy.
func checkFloor(t *testing.T, d *policy.Decision) {
	t.Helper()
	r := d.Request()
	if u, ok := d.User(); ok {
		if u.UID == 0 || u.GID == 0 || u.UID == d.Client().UID || u.Name != r.User || slices.ContainsFunc(u.Groups, func(g policy.Group) bool { return g.GID == 998 }) {
			t.Errorf("the user is %+v", u)
		}
	} else if r.User != "" {
		t.Errorf("the user %q became an ephemeral one", r.User)
	}
	task, ok := strings.CutPrefix(r.Directories.Local, d.Client().AllocRoot+"/")
	parts := strings.Split(task, "/")
	if !ok || len(parts) != 3 || slices.Contains(parts, "..") || slices.Contains(parts, ".") || slices.Contains(parts, "") ||
		parts[1] == "alloc" || parts[2] != "local" ||
		r.Directories.Alloc != d.Client().AllocRoot+"/"+parts[0]+"/alloc" ||
		r.Directories.Secrets != d.Client().AllocRoot+"/"+parts[0]+"/"+parts[1]+"/secrets" {
		t.Errorf("the directories are %q", r.Directories)
	}
	if d.TasksMax() == 0 || d.TasksMax() > 1<<22 || d.Rule() == "" {
		t.Errorf("the rule is %q, the tasks %d", d.Rule(), d.TasksMax())
	}
}

// checkTypical is the typical policy in other words.
func checkTypical(t *testing.T, d *policy.Decision) {
	t.Helper()
	r := d.Request()
	command, res := r.Command, r.Resources
	in := func(dir string) bool { return strings.HasPrefix(command, dir) && len(command) > len(dir) }
	if strings.Contains(command, "//") || strings.Contains(command+"/", "/./") || strings.Contains(command+"/", "/../") || strings.HasSuffix(command, "/") {
		t.Errorf("the command %q is not clean", command)
	}
	ok := false
	switch d.Rule() {
	case "task-binaries":
		ok = (in("/local/") || in("/alloc/")) && r.User == "" && (r.LogDriver == "fds" || r.LogDriver == "journal") &&
			res.MemoryMax <= 16<<30 && res.TasksMax <= 4096
	case "host-tools":
		ok = (in("/local/") || in("/usr/bin/") || command == "/usr/sbin/foo" || command == "/opt/agent/run") &&
			(r.User == "app" || r.User == "www-data") && r.LogDriver == "fds" && res.MemoryMax <= 2<<30 && res.TasksMax <= 512
	}
	if !ok || res.MemoryMax == 0 || res.MemoryUnlimited || res.MemoryLow > 16<<30 {
		t.Errorf("the rule %q allows %+v", d.Rule(), r)
	}
}
