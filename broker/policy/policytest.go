// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// testSuffix is that of files with tests; they are no part of the policy.
const testSuffix = ".policytest.hcl"

var (
	testFileSchema = schema{[]string{"version"}, []string{"test"}}
	testSchema     = schema{
		[]string{
			"allow", "args", "capabilities", "client", "command", "cpu_percent", "cpu_weight", "credentials", "deny", "devices", "group", "identity", "image", "log_driver", "memory_max",
			"memory_unlimited", "mount_images", "network", "never", "profile", "rootfs", "session", "signature", "supplementary_groups", "tasks_max", "user", "user_manager",
		},
		[]string{"directives", "env", "labels", "running", "volumes"},
	}
)

var runningSchema = schema{attributes: []string{"memory", "starts", "units"}}

// Test is a request, and what the operator wants the policy to answer.
type Test struct {
	Name string
	File string
	Line int

	client  string
	labels  map[string]string // without the client's prefix
	request Request
	// allow is the rule that is to allow the request, deny the subject of a denial by
	// rules, never the name of the never that forbids it; one of them is set.
	allow, deny, never string
	// identity is whether the labels are proven.
	identity bool
	running  Usage // what the units of the rule are and have already
}

// LoadTests reads each file named *.policytest.hcl in the root of fsys. An error in
// a file is a [*LoadError].
func LoadTests(fsys fs.FS) ([]*Test, error) {
	files, err := readFiles(fsys, testSuffix)
	if err != nil {
		return nil, err
	}
	var f failure
	var all []*Test
	names := map[string]bool{}
	for _, src := range files {
		if err := src.parse(); err != nil {
			return nil, err
		}
		r := f.read(src, "the file", span{}, src.body, testFileSchema)
		if got := r.number("version", "1", 0, 1<<32); f.err == nil && got != version {
			r.fail(r.at("version"), "this program reads version %d of the policy language, not %d", version, got)
		}
		for _, b := range src.body.Blocks {
			head := spanOf(b.DefRange())
			if len(b.Labels) != 1 || b.Labels[0] == "" || len(b.Labels[0]) > 200 {
				r.fail(head, `a test takes one name, as in: test "nginx as root" {`)
				return nil, f.err
			}
			name := b.Labels[0]
			t := f.read(src, fmt.Sprintf("test %q", name), head, b.Body, testSchema)
			if names[name] {
				t.fail(head, "%s is there twice; rename one", t.title)
			}
			names[name] = true
			all = append(all, testOf(name, t))
		}
	}
	if f.err != nil {
		return nil, f.err
	}
	return all, nil
}

func testOf(name string, r *reader) *Test {
	optional := func(key, otherwise string) string {
		if !r.has(key) {
			return otherwise
		}
		return r.str(key, `"text"`).text
	}
	t := &Test{
		Name: name, File: r.src.name, Line: r.src.lineOf(r.head.start),
		client: optional("client", ""), allow: optional("allow", ""), deny: optional("deny", ""),
		never: optional("never", ""), identity: r.boolean("identity"),
	}
	if expected := slices.DeleteFunc([]string{t.allow, t.deny, t.never}, func(s string) bool { return s == "" }); len(expected) != 1 {
		r.fail(r.head, `%s needs one of allow = "RULE", deny = "SUBJECT" and never = "NAME"`, r.title)
	}
	q := &t.request
	q.ID, q.Name = "test", []string{"test"}
	q.Command, q.User, q.Profile = r.str("command", `"/local/server"`).text, optional("user", ""), optional("profile", "")
	q.UserManager = r.boolean("user_manager")
	q.Rule = optional("session", "")
	if q.Session = q.Rule != ""; !q.Session {
		q.LogDriver = LogDriver(optional("log_driver", string(LogFDs)))
	}
	for _, v := range r.list("args") {
		q.Args = append(q.Args, v.text)
	}
	q.Group = optional("group", "")
	for _, v := range r.list("supplementary_groups") {
		q.SupplementaryGroups = append(q.SupplementaryGroups, v.text)
	}
	q.Rootfs = Rootfs{Kind: RootfsKind(optional("rootfs", string(RootfsMinimal))), Image: optional("image", ""), Signature: optional("signature", "")}
	for i, v := range r.list("mount_images") {
		q.Volumes = append(q.Volumes, Volume{Source: v.text, Destination: fmt.Sprintf("/images/%d", i), ReadOnly: true, Image: true})
	}
	for _, v := range r.list("devices") {
		q.Devices = append(q.Devices, Device{Path: v.text, Permissions: "rw"})
	}
	r.testVolumes(q)
	r.testResources(q)
	r.testDirectives(q)
	t.running = r.testRunning()
	t.labels = r.texts("labels")
	q.Env = r.texts("env")
	return t
}

// open is a block that may hold any attributes; nil if it is not written.
func (r *reader) open(name string) *reader {
	any := schema{}
	for _, b := range r.body.Blocks {
		if b.Type == name {
			any.attributes = append(any.attributes, slices.Collect(maps.Keys(b.Body.Attributes))...)
		}
	}
	return r.block(name, any)
}

// run asks p; the answer is empty if it is the one that is wanted, else what it
// is instead.
func (t *Test) run(p *Policy) string {
	var c *Client
	for _, one := range p.Clients() {
		if one.Name == t.client || t.client == "" && len(p.clients) == 1 {
			c = one
		}
	}
	if c == nil {
		return fmt.Sprintf("the policy has no client %q; name one with client", t.client)
	}
	r := t.request
	r.Labels = map[string]string{}
	for k, v := range t.labels {
		r.Labels[c.LabelPrefix()+k] = v
	}
	if t.identity {
		r.proveAll(c)
	}
	r.Directories = Directories{Alloc: c.AllocRoot + "/test/alloc", Local: c.AllocRoot + "/test/task/local", Secrets: c.AllocRoot + "/test/task/secrets"}
	d, err := p.Decide(c.Peer(), &r)
	if err == nil {
		if key := d.Quota().Exceeded(t.running, r.Resources.MemoryMax, r.Session); key != "" {
			err = &Denial{Subject: "quota", Value: key, Reason: fmt.Sprintf("beyond quotas.%s of rule %q", key, d.Rule())}
		}
	}
	switch {
	case err == nil && t.allow == d.Rule():
		return ""
	case err == nil:
		return fmt.Sprintf("allowed by rule %q", d.Rule())
	}
	denial := denialOf(err)
	if t.allow != "" || denial.Never != t.never || t.never == "" && denial.Subject != t.deny {
		return fmt.Sprintf("denied: %s %q: %s", denial.Subject, denial.Value, denial.Reason)
	}
	return ""
}
